// One neuron and its slope: the slider moves along the activation; formula and autograd beside each other.
import { type Chart, lines, type Spec } from '../charts/lines'
import { choice, el, slider } from '../element'
import { jumps } from '../report/units'
import { words } from '../words'
import { type Options } from './experiment'
import { lately, question } from './source'

interface Neuron {
  x: number[]
  value: number[]
  measured: number[]
  formula: number[]
  largest: number
}

type Drawn = Record<'x', number[]> & Record<'value' | 'measured' | 'formula', (number | null)[]>

/** The same curves with a gap in the slope where it jumps: a line would be a slope that the activation never has. */
function broken(found: Neuron): Drawn {
  const drawn: Drawn = { x: [], value: [], measured: [], formula: [] }
  found.x.forEach((x, i) => {
    if (i > 0 && jumps(found.measured[i - 1], found.measured[i])) {
      const from = found.x[i - 1] ?? x
      drawn.x.push(from + 1e-6, from + 2e-6)
      drawn.value.push(found.value[i - 1] ?? null, found.value[i - 1] ?? null)
      drawn.measured.push(null, found.measured[i] ?? null)
      drawn.formula.push(null, found.formula[i] ?? null)
    }
    drawn.x.push(x)
    drawn.value.push(found.value[i] ?? null)
    drawn.measured.push(found.measured[i] ?? null)
    drawn.formula.push(found.formula[i] ?? null)
  })
  return drawn
}

/** Build the neuron. */
export function neuron(options: Options): HTMLElement {
  let activation = 'sigmoid'
  let at = 80
  let found: Neuron | null = null
  let chart: Chart | null = null
  const message = el('p', { class: 'bad', role: 'alert' })
  const said = el('p', { class: 'text said', 'aria-live': 'polite' })
  const stage = el('div')
  const place = slider('pre-activation z', { low: 0, high: 160, value: at }, (v) => words(found?.x[v] ?? (v - 80) / 10, 3), (v) => {
    at = v
    tell()
  })

  function tell(): void {
    if (found === null) return
    const slope = found.measured[at] ?? 0
    said.textContent = `At z = ${words(found.x[at] ?? 0)} the neuron gives ${words(found.value[at] ?? 0)}; its slope is ${words(slope)} by autograd, ${words(found.formula[at] ?? 0)} by the formula. ` +
      `What comes back through it is multiplied by ${words(slope)}; through ten such neurons by ${words(slope ** 10)}. The largest slope of this activation is ${words(found.largest)}.`
  }

  const refresh = lately(() => question<Neuron>('neuron', { activation }), (shown) => {
    found = shown
    const drawn = broken(shown)
    const spec: Spec = {
      label: 'An activation and its slope',
      x: drawn.x,
      lines: [
        { label: activation, values: drawn.value, colour: 'b' },
        { label: 'slope, by autograd', values: drawn.measured, colour: 'a', width: 3 },
        { label: 'slope, by the formula', values: drawn.formula, colour: 'dim', dash: true },
      ],
      xLabel: 'pre-activation z = w · x + b',
      yLabel: '',
      named: (x) => `z = ${words(x)}`,
    }
    if (chart === null) stage.append((chart = lines(spec)).element)
    else chart.update(spec)
    tell()
  }, (text) => (message.textContent = text))
  refresh()
  const chosen = choice('activation', options.activation.map((name) => [name, name]), activation, (value) => {
    activation = value
    refresh()
  })
  return el('div', { class: 'experiment' }, el('div', { class: 'row knobs' }, chosen, place.element), message, said, stage)
}
