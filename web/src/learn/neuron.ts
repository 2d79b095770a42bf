// One neuron and its slope: the slider moves along the activation; formula and autograd beside each other.
import { type Chart, lines, type Spec } from '../charts/lines'
import { choice, el, slider } from '../element'
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

  const refresh = lately(async () => {
    found = await question<Neuron>('neuron', { activation })
    const shown = found
    const spec: Spec = {
      label: 'An activation and its slope',
      x: shown.x,
      lines: [
        { label: activation, values: shown.value, colour: 'b' },
        { label: 'slope, by autograd', values: shown.measured, colour: 'a', width: 3 },
        { label: 'slope, by the formula', values: shown.formula, colour: 'dim', dash: true },
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
