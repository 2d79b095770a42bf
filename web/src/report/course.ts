// The course of a run: heat map of layers by steps, the profile at the chosen step, and the losses.
import { type Cells, INFINITE, magnitude, MISSING, relative, span, unpack } from '../charts/cells'
import { heatmap } from '../charts/heatmap'
import { lines, type Chart, type Spec } from '../charts/lines'
import { even, lossSpec } from './loss'
import { shared, type Shared } from '../charts/scale'
import { choice, el, slider } from '../element'
import { type Heat, type Network, number, positive } from '../view'
import { words } from '../words'

export interface Course {
  element: HTMLElement
  /** Show these tables; the chosen one, the cursor and the zoom stay. */
  show(tables: Cells[]): void
  /** Show these losses; without steps only their order is known. What is not finite is said in words. */
  losses(steps: number[] | null, losses: (number | null)[]): void
  /** Put the cursor on the last reading up to a step. */
  pick(step: number): void
  /** Share the scale no more. */
  leave(): void
}

/** Make the view of a course; `moved` is told to which step the cursor went; those with one `scale` are coloured alike. */
export function course(title: string, moved: (index: number) => void = () => {}, scale: Shared = shared()): Course {
  const own = {}
  let tables: Cells[] = []
  let chosen = 'gradient, relative'
  let cells: Cells | null = null
  let [step, row, last] = [0, 0, true]
  const map = heatmap(`Heat map of ${title}: layers by steps`, (s, r) => {
    ;[step, row] = [s, r]
    time.set(s)
    tell()
    moved(cells?.steps[s] ?? s)
  })
  const readout = el('output', { class: 'readout', 'aria-live': 'polite' })
  const knobs = el('div', { class: 'row' })
  const time = slider('step', { low: 0, high: 0, value: 0 }, (v) => String(cells?.steps[v] ?? ''), (v) => {
    step = v
    map.pick(step, row)
    tell()
    moved(cells?.steps[v] ?? v)
  })
  const profile: Chart = lines(profileAt(null, 0))
  let [lossSteps, losses]: [number[] | null, (number | null)[]] = [[], []]
  const loss: Chart = lines(lossSpec([], [], []))
  const broken = el('p', { class: 'bad', role: 'status' })
  const spaced = el('p', { class: 'dim' })
  const charts = el('div', { class: 'columns' }, profile.element, loss.element)
  const element = el('div', { class: 'course' }, knobs, map.element, time.element, readout, broken, spaced, charts)

  function options(): Map<string, () => Cells> {
    const found = new Map<string, () => Cells>()
    for (const table of tables) {
      if (table.unit === 'norm') found.set(`${table.name}, relative`, () => relative(table))
      found.set(table.name, () => table)
    }
    return found
  }

  function tell(): void {
    if (cells === null) return
    const code = cells.codes[step * cells.rows + row] ?? 0
    const value = code === MISSING ? 'not measured' : code === INFINITE ? 'not finite' : `${words(magnitude(code))} ${cells.unit}`
    readout.textContent = `step ${cells.steps[step] ?? ''}, ${cells.names[row] ?? ''}: ${value}`
    profile.update(profileAt(cells, step))
    last = step === cells.steps.length - 1
  }

  function refresh(): void {
    const found = options()
    if (!found.has(chosen)) chosen = found.keys().next().value ?? ''
    cells = found.get(chosen)?.() ?? null
    if (cells === null) return
    map.show(cells, scale.span(own, chosen, span(cells), map.rescale))
    if (last || step >= cells.steps.length) step = cells.steps.length - 1
    row = Math.min(row, cells.rows - 1)
    map.pick(step, row)
    time.set(step, cells.steps.length - 1)
    tell()
    explain()
  }

  /** Losses over the same columns as the map; what a chart cannot show is said. */
  function explain(): void {
    const read = cells?.steps ?? []
    loss.update(lossSpec(lossSteps, losses, read))
    const at = losses.findIndex((value) => value !== null && !Number.isFinite(value))
    broken.textContent = at < 0 ? '' : `From ${lossSteps === null ? `reading ${at + 1}` : `step ${lossSteps[at] ?? at}`} on the loss is not a finite number: the training broke down there.`
    spaced.textContent = even(read) ? '' : `${read.length} readings${read.length <= 12 ? `, at steps ${read.join(', ')}` : ''}: each column is one of them, so the columns are not equally long in time; the losses below stand in the same places.`
    broken.hidden = broken.textContent === ''
    spaced.hidden = spaced.textContent === ''
  }

  let names = ''
  return {
    element,
    show(next) {
      tables = next
      const keys = [...options().keys()]
      if (keys.join('\n') !== names) {
        names = keys.join('\n')
        if (!keys.includes(chosen)) chosen = keys[0] ?? ''
        knobs.replaceChildren(choice('Show', keys.map((key) => [key, key === 'gradient, relative' ? 'gradient, relative to the top' : key]), chosen, (value) => {
          chosen = value
          refresh()
        }))
      }
      refresh()
    },
    leave: () => scale.leave(own),
    losses(steps, values) {
      ;[lossSteps, losses] = [steps, values]
      explain()
    },
    pick(wanted) {
      if (cells === null) return
      const after = cells.steps.findIndex((one) => one > wanted)
      step = Math.max(0, (after < 0 ? cells.steps.length : after) - 1)
      map.pick(step, row)
      time.set(step)
      tell()
    },
  }
}

const whole = (x: number): string => String(x)

function profileAt(cells: Cells | null, step: number): Spec {
  const rows = cells?.rows ?? 0
  return {
    label: 'Profile at the chosen step',
    x: Array.from({ length: rows }, (_, i) => i + 1),
    lines: [{ label: cells === null ? '' : `step ${cells.steps[step] ?? ''}`, values: Array.from({ length: rows }, (_, i) => positive(magnitude(cells?.codes[step * rows + i] ?? 0))), colour: 'a', points: rows <= 60 }],
    xLabel: 'layer: left the input, right the loss',
    yLabel: cells === null ? '' : cells.unit,
    logarithmic: true,
    height: 240,
    ticks: whole,
    named: (x) => `layer ${x}, ${cells?.names[x - 1] ?? ''}`,
  }
}

/** Fill a course with what a report brings. */
export async function fill(view: Course, network: Network): Promise<void> {
  view.show(await Promise.all(network.heats.map((heat: Heat) => unpack(heat))))
  view.losses(network.loss_steps, network.losses.map((loss) => number(loss)))
}
