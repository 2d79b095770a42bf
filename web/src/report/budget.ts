// The gradient budget: a waterfall from the loss down to the input, split into weights, activations and the rest.
import { el, section, svg, table } from '../element'
import { type BudgetLine, type Network, number, type Profile } from '../view'
import { percent, power, tail, words } from '../words'

type Share = 'weight' | 'activation' | 'rest'
// Each part has its own lane: where weights raise and activations lower, neither hides the other.
const LANE: Record<Share, number> = { activation: 0, weight: 1, rest: 2 }
const PART: Record<Share, string> = { weight: 'weights', activation: 'activations', rest: 'everything else' }

function share(line: BudgetLine): Share {
  return line.kind === 'weight' ? 'weight' : line.kind === 'activation' ? 'activation' : 'rest'
}

interface Bar {
  label: string
  title: string
  logs: Record<Share, number>
}

/** The block that a module belongs to: up to its first number, `encoder.layers.7` of `encoder.layers.7.norm2`. */
function block(module: string): string {
  const parts = module.split('.')
  const at = parts.findIndex((part) => /^\d+$/.test(part))
  return at < 0 ? (parts[0] ?? '') : parts.slice(0, at + 1).join('.')
}

/** One bar for each layer: its activation is what stood between it and the layer above. Where the way leads past the layers, one for each block. */
function bars(profile: Profile): Bar[] {
  const blocks = new Set(profile.budget.map((line) => block(line.module)))
  if (3 * profile.budget.filter((line) => line.kind === 'weight').length < blocks.size) return ofBlocks(profile)
  const made: Bar[] = []
  let open: Bar | null = null
  const fresh = (): Bar => ({ label: '', title: '', logs: { weight: 0, activation: 0, rest: 0 } })
  for (const line of profile.budget) {
    const gain = number(line.gain)
    if (gain === null || !(gain > 0) || !Number.isFinite(gain)) continue
    open ??= fresh()
    open.logs[share(line)] += Math.log10(gain)
    open.title += `${line.site || '(root)'}: × ${words(gain)}\n`
    if (line.kind === 'weight') {
      open.label = line.site
      made.push(open)
      open = null
    }
  }
  if (open !== null) made.push({ ...open, label: profile.layers[0]?.site ?? 'input' })
  return folded(made)
}

/** Of transformers and other residual networks the main way is made of skips, sums and normalisations. */
function ofBlocks(profile: Profile): Bar[] {
  const made: Bar[] = []
  for (const line of profile.budget) {
    const gain = number(line.gain)
    if (gain === null || !(gain > 0) || !Number.isFinite(gain)) continue
    const label = block(line.module) || '(root)'
    let last = made.at(-1)
    if (last?.label !== label) made.push((last = { label, title: '', logs: { weight: 0, activation: 0, rest: 0 } }))
    last.logs[share(line)] += Math.log10(gain)
    last.title += `${line.site || '(root)'}: × ${words(gain)}\n`
  }
  return folded(made)
}

/** At most sixty bars: neighbours are put together. */
function folded(all: Bar[]): Bar[] {
  const each = Math.ceil(all.length / 60)
  if (each < 2) return all
  return Array.from({ length: Math.ceil(all.length / each) }, (_, group) => {
    const some = all.slice(group * each, (group + 1) * each)
    const sum = (part: Share): number => some.reduce((total, bar) => total + bar.logs[part], 0)
    return {
      label: `${some[0]?.label ?? ''} … ${some.at(-1)?.label ?? ''}`,
      title: some.map((bar) => bar.title).join(''),
      logs: { weight: sum('weight'), activation: sum('activation'), rest: sum('rest') },
    }
  })
}

function waterfall(profile: Profile, title: string): HTMLElement {
  const shown = bars(profile)
  const steps = shown.flatMap((bar) => (['activation', 'weight', 'rest'] as const).map((part) => bar.logs[part]))
  let level = 0
  const levels = [0, ...steps.map((step) => (level += step))]
  const low = Math.floor(Math.min(...levels))
  const high = Math.ceil(Math.max(...levels, low + 1))
  const [left, row, wide] = [130, 20, 620]
  const x = (value: number): number => left + ((value - low) / (high - low)) * (wide - left - 88)
  const height = shown.length * row + 34
  const drawing = svg('svg', { viewBox: `0 0 ${wide} ${height}`, role: 'img', 'aria-label': `Gradient budget of ${title}: ${words(profile.transport)} of the gradient is left at the deepest layer` })
  const each = Math.max(1, Math.ceil((high - low) / 9))
  for (let decade = high; decade >= low; decade -= each) {
    drawing.append(svg('line', { x1: x(decade), x2: x(decade), y1: 18, y2: height - 6, class: 'grid' }))
    drawing.append(svg('text', { x: x(decade), y: 12, 'text-anchor': 'middle' }, power(decade)))
  }
  level = 0
  shown.forEach((bar, index) => {
    const y = 22 + index * row
    drawing.append(svg('text', { x: left - 8, y: y + 12, 'text-anchor': 'end' }, tail(bar.label, 19)))
    for (const part of ['activation', 'weight', 'rest'] as const) {
      const step = bar.logs[part]
      if (step === 0) continue
      const [from, to] = [x(level), x(level + step)]
      drawing.append(svg('rect', { x: Math.min(from, to), y: y + 2 + 5 * LANE[part], width: Math.max(Math.abs(to - from), 0.75), height: 5, class: `part ${part}` }, svg('title', {}, bar.title)))
      level += step
    }
    const gain = 10 ** (bar.logs.weight + bar.logs.activation + bar.logs.rest)
    drawing.append(svg('text', { x: wide - 4, y: y + 12, 'text-anchor': 'end' }, `× ${words(gain)}`))
  })
  const sum = (part: Share, of: (line: BudgetLine) => number): number => profile.budget.filter((line) => share(line) === part).reduce((total, line) => total + of(line), 0)
  const said = (['activation', 'weight', 'rest'] as const).map((part) => ({ part, factor: 10 ** sum(part, (line) => Math.log10(number(line.gain) || 1)), of: sum(part, (line) => number(line.share) ?? 0) }))
  const plain = said.every(({ of }) => of > -0.005 && of < 1.005) // shares are clear only where all pull the same way
  const legend = el(
    'div',
    { class: 'legend' },
    ...said.map(({ part, factor, of }) => el('span', { class: 'key' }, el('span', { class: `swatch ${part}` }), `${PART[part]}: × ${words(factor)}${plain ? `, ${percent(of, 0)} of what the gradient loses, in decades` : ''}`)),
  )
  const wall = el('figure', {}, legend, el('div', { class: 'scroll wide', tabindex: 0, role: 'group', 'aria-label': `Gradient budget of ${title}` }, drawing))
  return el('div', {}, wall, el('details', {}, el('summary', {}, `The budget in numbers: ${title}`), numbers(shown, title)))
}

function numbers(shown: Bar[], title: string): HTMLElement {
  let left = 0
  const rows = shown.map(({ label, logs }) => {
    const all = logs.activation + logs.weight + logs.rest
    left += all
    return [tail(label, 40), ...[logs.activation, logs.weight, logs.rest, all, left].map((log) => words(10 ** log))]
  })
  return table(`Gradient budget of ${title} in numbers`, ['layer', 'activation', 'weight', 'everything else', 'together', 'left after it'], rows)
}

/** The section with a waterfall for each network. */
export function budgetSection(networks: Network[]): HTMLElement | null {
  const shown = networks.filter((network) => network.profile !== null && network.profile.budget.length > 0)
  if (shown.length === 0) return null
  const parts = shown.flatMap((n) => (n.profile === null ? [] : [el('div', {}, shown.length > 1 && el('h3', {}, n.title), waterfall(n.profile, n.title))]))
  return section(
    'Where it goes: the gradient budget',
    'From the loss, on top, down to the first layer: each row is what a layer and the activation before it do to the gradient on its way down, or a block where the way leads past the layers. To the left is less. The factors multiply exactly to what is left at the deepest layer.',
    el('div', { class: 'columns' }, ...parts),
  )
}
