// Time and small numbers; and the box that they and the phase diagram are drawn in.
import { type Chart, lines, type Spec } from '../charts/lines'
import { choice, el, slider } from '../element'
import { positive } from '../view'
import { percent, power, words } from '../words'
import { FIRST, type Options } from './experiment'
import { lately, question } from './source'

/** A box with knobs whose answer is drawn as lines and said in words. */
export function drawn(knobs: HTMLElement[], make: () => Promise<{ specs: Spec[]; said: string; also?: () => void }>): { element: HTMLElement; refresh(): void } {
  const message = el('p', { class: 'bad', role: 'alert' })
  const said = el('p', { class: 'text said', 'aria-live': 'polite' })
  const stage = el('div', { class: 'columns' })
  const charts: Chart[] = []
  const refresh = lately(make, ({ specs, said: text, also }) => {
    said.textContent = text
    also?.()
    specs.forEach((spec, i) => {
      const chart = charts[i]
      if (chart !== undefined) chart.update(spec)
      else stage.append((charts[i] = lines(spec)).element)
    })
  }, (text) => (message.textContent = text))
  refresh()
  return { element: el('div', { class: 'experiment' }, el('div', { class: 'row knobs' }, ...knobs), message, said, stage), refresh }
}

const GAINS: Record<string, number[]> = { rnn: [0.5, 0.7, 0.9, 1, 1.1, 1.3], lstm: [-2, 0, 1, 2, 4], gru: [1] }
const FIRST_GAIN: Record<string, number> = { rnn: 0.9, lstm: 1 }
const BOUND: Record<string, string> = { rnn: 'at most: gain to the power of the distance', lstm: 'the cell by itself' }

/** Recurrent networks: the gradient along time. */
export function time(): HTMLElement {
  let kind = 'rnn'
  let gain = 0.9
  const holder = el('span', { class: 'row' })
  const gains = (): void => {
    const values = GAINS[kind] ?? [1]
    const start = Math.max(0, values.indexOf(FIRST_GAIN[kind] ?? 1))
    gain = values[start] ?? 1
    holder.replaceChildren(kind === 'gru' ? '' : slider(kind === 'rnn' ? 'gain of the recurrent matrix' : "forget gate's bias", { low: 0, high: values.length - 1, value: start }, (at) => String(values[at]), (at) => ((gain = values[at] ?? 1), box.refresh())).element)
  }
  const chosen = choice('layer', [['rnn', 'RNN with tanh'], ['lstm', 'LSTM'], ['gru', 'GRU']], kind, (value) => {
    kind = value
    gains()
    box.refresh()
  })
  const box = drawn([chosen, holder], async () => {
    const asked = { kind, gain, steps: 50, seed: 0 }
    const found = await question<{ measured: number[]; formula: number[] | null; per_step: number | null }>('time', asked)
    const x = found.measured.map((_, i) => i + 1)
    const shown: Spec = {
      label: 'Gradient along time',
      x,
      lines: [
        { label: 'measured', values: found.measured.map((v) => positive(v)), colour: 'a', points: true },
        ...(found.formula === null ? [] : [{ label: BOUND[asked.kind] ?? 'formula', values: found.formula.map((v) => positive(v)), colour: 'dim', dash: true }]),
      ],
      xLabel: 'time step; the loss is at the last',
      yLabel: 'gradient, relative to the last step',
      logarithmic: true,
      named: (at) => `time step ${at}`,
    }
    return { specs: [shown], said: `Of the gradient at step 50, ${words(found.measured[0] ?? 0)} arrives at step 1${found.formula === null ? '' : asked.kind === 'rnn' ? `; at most ${words(found.per_step)} per step leaves ${words(found.formula[0] ?? 0)}` : `; the cell by itself, ${words(found.per_step)} per step, would leave ${words(found.formula[0] ?? 0)}`}.` }
  })
  gains()
  return box.element
}

const EPSILONS = [1e-12, 1e-10, 1e-8, 1e-6, 1e-4]
const SCALES = [0, 8, 16, 20]

/** Adam's epsilon and half precision. */
export function precision(options: Options): HTMLElement {
  let [epsilon, scale, depth] = [1e-8, 0, 10]
  const box = drawn(
    [
      slider('hidden layers', { low: 0, high: options.depth.length - 1, value: Math.max(0, options.depth.indexOf(10)) }, (at) => String(options.depth[at]), (at) => ((depth = options.depth[at] ?? 10), box.refresh())).element,
      slider("Adam's epsilon", { low: 0, high: EPSILONS.length - 1, value: 2 }, (at) => power(Math.round(Math.log10(EPSILONS[at] ?? 1))), (at) => ((epsilon = EPSILONS[at] ?? 1e-8), box.refresh())).element,
      slider('loss scale', { low: 0, high: SCALES.length - 1, value: 0 }, (at) => String(2 ** (SCALES[at] ?? 0)), (at) => ((scale = SCALES[at] ?? 0), box.refresh())).element,
    ],
    async () => {
      const { learning_rate: _, steps: __, ...rest } = FIRST
      const found = await question<{ gradient: number[]; measured: number[]; formula: number[]; lost: number[] }>('precision', { ...rest, depth, epsilon, scale: 2 ** scale })
      const x = found.gradient.map((_, i) => i + 1)
      const axis = { x, xLabel: 'layer: left the input', ticks: (at: number) => String(at), named: (at: number) => `layer ${at}` }
      return {
        specs: [
          { ...axis, label: 'Step of Adam', lines: [{ label: 'step / learning rate, measured', values: found.measured.map((v) => positive(v)), colour: 'a', points: true }, { label: 'mean of |g| / (|g| + ε)', values: found.formula.map((v) => positive(v)), colour: 'dim', dash: true }], yLabel: 'share of a full step', logarithmic: true },
          { ...axis, label: 'Lost in half precision', lines: [{ label: 'share of the gradient that float16 rounds to 0', values: found.lost, colour: 'b', points: true }], yLabel: 'share' },
        ],
        said: `In the first layer the gradient is ${words(found.gradient[0] ?? 0)}: Adam makes ${percent(found.measured[0] ?? 0)} of a full step, and float16 loses ${percent(found.lost[0] ?? 0)} of it.`,
      }
    },
  )
  return box.element
}
