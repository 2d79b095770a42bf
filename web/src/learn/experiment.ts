// The experiment: knobs, the profile of the audit at once, and training with the heat map growing.
import { listen } from '../api'
import { type Cells, joined, unpack } from '../charts/cells'
import { type Chart, lines } from '../charts/lines'
import { choice, el, slider } from '../element'
import { course } from '../report/course'
import { profileSpec, signalSpec } from '../report/profile'
import { unitsFigure } from '../report/units'
import { type Curve, dressOf, type Heat, type Network, type Num, number, positive, type Profile } from '../view'
import { words } from '../words'
import { answered, exported, lately, query, question } from './source'

export interface Setting {
  activation: string
  initialiser: string
  depth: number
  width: number
  normalisation: string
  residual: boolean
  data: string
  learning_rate: number
  steps: number
  seed: number
}

export const FIRST: Setting = { activation: 'sigmoid', initialiser: 'default', depth: 10, width: 64, normalisation: 'none', residual: false, data: 'digits', learning_rate: 0.1, steps: 300, seed: 0 }

export type Knob = keyof Setting
export interface Options {
  activation: string[]
  initialiser: string[]
  data: string[]
  depth: number[]
  width: number[]
  normalisation: string[]
  learning_rate: number[]
  steps: number[]
  seed: number[]
  phases: string[]
}

interface Audit {
  verdict: string
  healthy: boolean
  loss: Num
  profile: Profile | null
  curves: Curve[]
  milliseconds: number
}

const NAMES: Record<string, string> = { default: "PyTorch's default", xavier: 'Xavier', he: 'He', centred_logistic: 'centred', lecun: 'LeCun', orthogonal: 'orthogonal', critical: 'critical' }

/** Build an experiment: these knobs are shown, the others stay as `given` says; `against` is drawn beside it. */
export function experiment(options: Options, shown: Knob[], given: Partial<Setting>, against: Partial<Setting> | null = null, wanted: 'profile' | 'signal' = 'profile'): HTMLElement {
  const setting: Setting = { ...FIRST, ...given }
  const message = el('p', { class: 'bad', role: 'alert' })
  const verdict = el('p', { class: 'said', 'aria-live': 'polite' })
  const rates = el('p', { class: 'text' })
  const charts = el('div', { class: 'columns' })
  let profile: Chart | null = null
  let signal: Chart | null = null
  const units = el('div')
  const training = trainer(setting)

  // Training is not part of the audit: what only training asks for stays as it is in exported answers.
  const asked = (of: Setting): Record<string, string | number | boolean> => {
    const { learning_rate: _, steps: __, ...rest } = of
    return rest
  }

  const ask = (): Promise<[Audit, Audit | null]> =>
    Promise.all([question<Audit>('audit', asked(setting)), against === null ? null : question<Audit>('audit', asked({ ...setting, ...against }))])
  const refresh = lately(ask, ([found, other]) => {
    verdict.textContent = `${found.verdict} (measured in ${Math.round(found.milliseconds)} ms)`
    verdict.className = `said ${dressOf(found)}`
    if (found.profile === null) return
    const lots = [{ title: describe(setting, shown, against), profile: found.profile }]
    if (other !== null && other.profile !== null) lots.push({ title: describe({ ...setting, ...against }, shown, against), profile: other.profile })
    rates.textContent = lots.map((lot) => `${lots.length > 1 ? `${lot.title}: ` : ''}${perLayer(lot.profile)}`).join(' ')
    if (profile === null) charts.append((profile = lines(profileSpec(lots, 300))).element)
    else profile.update(profileSpec(lots, 300))
    if (wanted === 'signal' || shown.includes('activation')) {
      if (signal === null) charts.append((signal = lines(signalSpec(found.profile, 300))).element)
      else signal.update(signalSpec(found.profile, 300))
    }
    units.replaceChildren(...found.curves.map((curve) => unitsFigure(curve, 'this network').element))
  }, (text) => (message.textContent = text))

  function set<K extends Knob>(name: K, value: Setting[K]): void {
    setting[name] = value
    training.changed()
    refresh()
  }

  const knobs = el('div', { class: 'row knobs' }, ...shown.filter((name) => name === 'residual' || options[name].length > 1).map((name) => knob(name, setting, options, set)))
  refresh()
  return el('div', { class: 'experiment' }, knobs, message, verdict, rates, charts, el('details', { open: wanted === 'signal' }, el('summary', {}, 'Where the units sit on the activation'), el('div', { class: 'narrow' }, units)), training.element)
}

/** What distinguishes one of two networks in one drawing. */
function describe(setting: Setting, shown: Knob[], against: Partial<Setting> | null): string {
  if (against === null) return 'network'
  return (Object.keys(against) as Knob[]).map((name) => said(name, setting[name])).join(', ') || shown.join(', ')
}

function said(name: Knob, value: string | number | boolean): string {
  if (name === 'residual') return value === true ? 'with residual connections' : 'without residual connections'
  if (name === 'normalisation') return value === 'none' ? 'no normalisation' : `${value} normalisation`
  if (name === 'depth') return `${value} layers`
  return NAMES[String(value)] ?? String(value)
}

/** The measured factor of one hidden layer beside the predicted one; the first sees the data, not the layers' signal, and does not count. */
function perLayer(profile: Profile): string {
  const hidden = profile.layers.slice(0, -1)
  const layers = hidden.length > 3 ? hidden.slice(1) : hidden
  const first = layers[0]
  const last = layers.at(-1)
  if (first === undefined || last === undefined || layers.length < 2) return ''
  const factor = (a: number | null, b: number | null): number | null => (a === null || b === null ? null : (a / b) ** (1 / (layers.length - 1)))
  const measured = factor(positive(first.transport), positive(last.transport))
  const predicted = factor(positive(first.predicted), positive(last.predicted))
  return `Each hidden layer multiplies the gradient by ${words(measured)}; the formula expects ${words(predicted)}.`
}

function knob(name: Knob, setting: Setting, options: Options, set: <K extends Knob>(name: K, value: Setting[K]) => void): HTMLElement {
  const list = (values: string[], label: string): HTMLElement => choice(label, values.map((value) => [value, NAMES[value] ?? value]), String(setting[name]), (value) => set(name, value as never))
  const places = (values: number[], label: string): HTMLElement => {
    const start = Math.max(0, values.indexOf(setting[name] as number))
    return slider(label, { low: 0, high: values.length - 1, value: start }, (at) => String(values[at] ?? ''), (at) => set(name, (values[at] ?? 0) as never)).element
  }
  switch (name) {
    case 'activation':
      return list(options.activation, 'activation')
    case 'initialiser':
      return list(options.initialiser, 'weights')
    case 'data':
      return list(options.data, 'data')
    case 'normalisation':
      return list(options.normalisation, 'normalisation')
    case 'depth':
      return places(options.depth, 'hidden layers')
    case 'width':
      return places(options.width, 'units per layer')
    case 'learning_rate':
      return places(options.learning_rate, 'learning rate')
    case 'steps':
      return places(options.steps, 'steps')
    case 'seed':
      return places(options.seed, 'seed')
    default: {
      const box = el('input', { type: 'checkbox', checked: setting.residual, onchange: () => set('residual', box.checked) })
      return el('label', { class: 'knob' }, box, el('span', {}, 'residual connections'))
    }
  }
}

interface Rows {
  heats: Heat[]
  losses: Num[]
  loss_steps: number[]
}

/** The training part: a button, and the heat map that grows. */
function trainer(setting: Setting): { element: HTMLElement; changed(): void } {
  let tables = new Map<string, Cells>()
  let [steps, losses]: [number[], (number | null)[]] = [[], []]
  let stop: (() => void) | null = null
  let view = course('the training')
  const stage = el('div')
  const state = el('p', { class: 'dim', role: 'status' })
  const button = el('button', { type: 'button', onclick: () => (stop === null ? begin() : end('stopped')) }, 'Train it')

  function take(rows: Rows, cells: Cells[]): void {
    for (const newer of cells) {
      const old = tables.get(newer.series)
      tables.set(newer.series, old === undefined ? newer : joined(old, newer))
    }
    steps = [...steps, ...rows.loss_steps]
    losses = [...losses, ...rows.losses.map((loss) => number(loss))]
    if (tables.size > 0) view.show([...tables.values()])
    view.losses(steps, losses)
    const last = [...tables.values()][0]?.steps.at(-1)
    if (last !== undefined) state.textContent = `step ${last}${losses.length > 0 ? `, loss ${words(losses.at(-1) ?? null)}` : ''}`
  }

  function end(text: string): void {
    stop?.()
    stop = null
    button.textContent = 'Train it'
    if (text !== '') state.textContent = `${state.textContent ?? ''} · ${text}`
  }

  function begin(): void {
    tables = new Map()
    ;[steps, losses] = [[], []]
    const mine = (view = course('the training'))
    stage.replaceChildren(view.element)
    state.textContent = 'starting …'
    if (exported()) {
      void question<Network>('train', { ...setting }).then(
        async (network) => {
          const cells = await Promise.all(network.heats.map(unpack))
          if (view === mine) take({ heats: [], losses: network.losses, loss_steps: network.loss_steps ?? [] }, cells)
        },
        (error: Error) => (state.textContent = error.message),
      )
      return
    }
    button.textContent = 'Stop'
    let before: Promise<void> = Promise.resolve()
    const inTurn = (data: unknown): void => {
      before = before.then(async () => {
        const rows = data as Rows
        if (view !== mine || stop === null) return
        take(rows, await Promise.all(rows.heats.map(unpack)))
      })
    }
    stop = listen(`/api/learn/${query('train', { ...setting })}`, {
      start: inTurn,
      rows: inTurn,
      refused: (data) => (state.textContent = String(data)),
      ended: () => void before.then(() => end('done')),
    }, (connected) => !connected && end(''))
  }

  return {
    element: el('div', { class: 'training' }, el('div', { class: 'row' }, button, state), stage),
    changed() {
      if (stop !== null) end('')
      stage.replaceChildren() // what was trained had other settings
      view = course('the training')
      button.disabled = exported() && !answered('train', { ...setting })
      state.textContent = button.disabled ? 'This page was exported without a training of these settings; `photic learn` trains them.' : ''
    },
  }
}
