// What Python puts into the page; the other side is `photic/reports/view.py`.

/** A number; nan and infinities come as words. */
export type Num = number | 'nan' | 'inf' | '-inf' | null

export interface Layer {
  site: string
  where: string
  signal_mean: Num
  signal_deviation: Num
  /** What theory expects of both; absent in a profile of a later step. */
  predicted_mean?: Num
  predicted_deviation?: Num
  transport: Num
  arrival: Num
  predicted: Num
  low: Num
  high: Num
  weight_gain: Num
  activation_gain: Num
  activation: string
  update_ratio: Num
  reached: boolean
}

export interface BudgetLine {
  site: string
  operation: string
  kind: string
  gain: Num
  share: Num
  module: string
}

export interface Block {
  path: string
  operations: number
  layers: number
  gain: Num
  share: Num
  signal_rms: Num
  transport: Num
  children: string[]
}

export interface Profile {
  step: number
  layers: Layer[]
  budget: BudgetLine[]
  reached: number
  threshold: number
  top: string
  transport: Num
  blocks: Block[]
}

export interface Site {
  name: string
  operation: string
  kind: string
  module: string
  type: string
  phase: string
  where: string
  shape: number[]
  signal: Num
  gradient: Num
  gain: Num
}

export interface Finding {
  problem: string
  severity: 'info' | 'warning' | 'critical'
  sites: string[]
  where: string
  evidence: { name: string; value: Num; unit: string }[]
  reason: string
  advice: string
  confidence: number
  sources: string[]
  victims: string[]
}

export interface Heat {
  series: string
  name: string
  unit: string
  names: string[]
  steps: number[]
  rows: number
  every: number
  data: string
  /** The planes as they are, not deflated: a few rows of a live run. */
  bare?: boolean
}

/** Shares of the octaves of each module: rows are those of the first module from 2^first upwards, then of the second. */
export interface Histograms extends Heat {
  first: number
  octaves: number
}

export interface Curve {
  name: string
  x: number[]
  value: number[]
  slope: number[]
  sites: string[]
  quantiles: number[][]
}

export interface Network {
  title: string
  model: string
  verdict: string
  healthy: boolean
  optimizer: string
  facts: Record<string, string>
  loss: Num
  losses: Num[]
  /** The step of each loss; null where only their order is known. */
  loss_steps: number[] | null
  profile: Profile | null
  last_profile: Profile | null
  sites: Site[]
  findings: Finding[]
  not_asked: { problem: string; missing: string }[]
  unseen: string[]
  assumptions: string[]
  heats: Heat[]
  histograms: Histograms[]
  curves: Curve[]
  notes: string[]
}

export interface Trial {
  remedy: string
  title: string
  changes: string
  outcome: string
  reason: string
  losses: Num[]
  held_back_loss: Num
  score: Num
  reached: number | null
  layers: number | null
  remaining: string[]
  brought: string[]
  seconds: Num
  seeds: number
  effects: string[]
}

export interface Treatment {
  remedy: string
  trials: Trial[]
  patch: string
  patched_lines: number
  paste: string
  notes: string[]
}

export interface Report {
  mode: 'report'
  runs: Network[]
  treatment: Treatment | null
}

export type Data =
  | Report
  | { mode: 'empty' }
  | { mode: 'live'; folder: string; lessons: boolean }
  | { mode: 'learn'; answers?: Record<string, unknown> }

/** How a verdict is dressed: green only where every layer hears the loss. */
export function dressOf(found: { healthy: boolean; profile: Profile | null }): 'good' | 'bad' | '' {
  if (!found.healthy) return 'bad'
  return found.profile === null || found.profile.reached === found.profile.layers.length ? 'good' : ''
}

/** Return a number, with nan and infinities as such; null and missing become null. */
export function number(value: Num | undefined): number | null {
  if (value === null || value === undefined) return null
  if (typeof value === 'number') return value
  return value === 'nan' ? Number.NaN : value === 'inf' ? Number.POSITIVE_INFINITY : Number.NEGATIVE_INFINITY
}

/** Return a number that a logarithmic axis can hold, else null. */
export function positive(value: Num | undefined): number | null {
  const found = number(value)
  return found !== null && found > 0 && Number.isFinite(found) ? found : null
}
