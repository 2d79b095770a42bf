// Time, small numbers, and the phase diagram.
import { SCALE } from '../charts/colours'
import { type Chart, lines, type Spec } from '../charts/lines'
import { choice, el, slider } from '../element'
import { positive } from '../view'
import { percent, power, words } from '../words'
import { FIRST, type Options } from './experiment'
import { exported, lately, question } from './source'

/** A box with knobs whose answer is drawn as lines and said in words. */
function drawn(knobs: HTMLElement[], make: () => Promise<{ specs: Spec[]; said: string }>): { element: HTMLElement; refresh(): void } {
  const message = el('p', { class: 'bad', role: 'alert' })
  const said = el('p', { class: 'text said', 'aria-live': 'polite' })
  const stage = el('div', { class: 'columns' })
  const charts: Chart[] = []
  const refresh = lately(async () => {
    const { specs, said: text } = await make()
    said.textContent = text
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

/** Recurrent networks: the gradient along time. */
export function time(): HTMLElement {
  let kind = 'rnn'
  let gain = 0.9
  const holder = el('span', { class: 'row' })
  const gains = (): void => {
    const values = GAINS[kind] ?? [1]
    gain = values[Math.floor(values.length / 2)] ?? 1
    holder.replaceChildren(kind === 'gru' ? '' : slider(kind === 'rnn' ? 'gain of the recurrent matrix' : "forget gate's bias", { low: 0, high: values.length - 1, value: Math.floor(values.length / 2) }, (at) => String(values[at]), (at) => ((gain = values[at] ?? 1), box.refresh())).element)
  }
  const chosen = choice('layer', [['rnn', 'RNN with tanh'], ['lstm', 'LSTM'], ['gru', 'GRU']], kind, (value) => {
    kind = value
    gains()
    box.refresh()
  })
  const box = drawn([chosen, holder], async () => {
    const found = await question<{ measured: number[]; formula: number[] | null; per_step: number | null }>('time', { kind, gain, steps: 50, seed: 0 })
    const x = found.measured.map((_, i) => i + 1)
    const shown: Spec = {
      label: 'Gradient along time',
      x,
      lines: [
        { label: 'measured', values: found.measured.map((v) => positive(v)), colour: 'a', points: true },
        ...(found.formula === null ? [] : [{ label: 'formula', values: found.formula.map((v) => positive(v)), colour: 'dim', dash: true }]),
      ],
      xLabel: 'time step; the loss is at the last',
      yLabel: 'gradient, relative to the last step',
      logarithmic: true,
      named: (at) => `time step ${at}`,
    }
    return { specs: [shown], said: `Of the gradient at step 50, ${words(found.measured[0] ?? 0)} arrives at step 1${found.formula === null ? '' : `; ${words(found.per_step)} per step would leave ${words(found.formula[0] ?? 0)}`}.` }
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

interface Phases {
  weights: number[]
  biases: number[]
  gains: number[][]
  line: [number, number][]
}

/** The phase diagram: theory as a map, one measured network where the reader puts it. */
export function phases(options: Options): HTMLElement {
  let activation = options.phases[0] ?? 'tanh'
  let [w, b] = [9, 0]
  let map: Phases | null = null
  const canvas = el('canvas', { class: 'phase', width: 800, height: 520, role: 'img', 'aria-label': 'Phase diagram: dark vanishes, bright explodes; the sliders choose a network' })
  canvas.addEventListener('click', (event) => {
    const place = canvas.getBoundingClientRect()
    w = Math.min(39, Math.max(0, Math.floor((40 * (event.clientX - place.left)) / place.width)))
    if (!exported()) b = Math.min(25, Math.max(0, 25 - Math.floor((26 * (event.clientY - place.top)) / place.height)))
    box.refresh()
  })
  const weight = slider('fan_in × Var[w]', { low: 0, high: 39, value: w }, (at) => words(map?.weights[at] ?? 0), (at) => ((w = at), box.refresh()))
  const bias = slider('Var[b]', { low: 0, high: 25, value: b }, (at) => words(map?.biases[at] ?? 0, 2), (at) => ((b = at), box.refresh()))
  const chosen = choice('activation', options.phases.map((name) => [name, name]), activation, (value) => {
    activation = value
    map = null
    box.refresh()
  })
  const cells = el('canvas', { width: 40, height: 26 })
  function paint(shown: Phases): void {
    const image = new ImageData(40, 26)
    const pixels = new Uint32Array(image.data.buffer)
    shown.gains.forEach((row, j) => row.forEach((gain, i) => {
      const share = 0.5 + Math.log10(Math.max(gain, 1e-6)) // a third is dark, three is bright, the edge is in the middle
      pixels[(25 - j) * 40 + i] = SCALE[Math.round(255 * Math.min(Math.max(share, 0), 1))] ?? 0
    }))
    cells.getContext('2d')?.putImageData(image, 0, 0)
    const context = canvas.getContext('2d')
    if (context === null) return
    context.imageSmoothingEnabled = false
    context.drawImage(cells, 0, 0, canvas.width, canvas.height)
    const [lowest, step] = [shown.weights[0] ?? 0, (shown.weights[1] ?? 1) - (shown.weights[0] ?? 0)]
    const x = (value: number): number => (((value - lowest) / step + 0.5) / 40) * canvas.width
    const y = (value: number): number => canvas.height * (1 - (25 * value + 0.5) / 26)
    for (const [style, width] of [['#000000', 5], ['#ffffff', 2.5]] as const) {
      context.strokeStyle = style
      context.lineWidth = width
      context.beginPath()
      shown.line.forEach(([of, at], i) => (i === 0 ? context.moveTo(x(of), y(at)) : context.lineTo(x(of), y(at))))
      context.stroke()
      context.strokeRect((w / 40) * canvas.width, ((25 - b) / 26) * canvas.height, canvas.width / 40, canvas.height / 26)
    }
    caption.textContent = `To the right larger weights, fan_in × Var[w] from ${words(shown.weights[0])} to ${words(shown.weights.at(-1))}; upwards larger biases, Var[b] from 0 to 1. Dark: the gradient vanishes; bright: it explodes; the white line is the edge, χ = 1. The square is the network that is measured. Click, or use the sliders, to measure another.`
  }
  const caption = el('figcaption', { class: 'dim' })
  const knobs = exported() ? [chosen, weight.element] : [chosen, weight.element, bias.element]
  const box = drawn(knobs, async () => {
    map ??= await question<Phases>('phases', { activation })
    weight.set(w)
    bias.set(b)
    paint(map)
    const [variance, of] = [map.weights[w] ?? 1, map.biases[b] ?? 0]
    const chi = map.gains[b]?.[w] ?? 1
    const found = await question<{ measured: number[]; per_layer: number }>('phase_point', { activation, weight_variance: variance, bias_variance: of, seed: 0 })
    const x = found.measured.map((_, i) => i + 1)
    return {
      specs: [
        {
          label: 'Mean squared gradient through 30 layers',
          x,
          lines: [
            { label: 'measured', values: found.measured.map((v) => positive(v)), colour: 'a', points: true },
            { label: 'theory: χ to the power of the distance', values: x.map((_, i) => positive(chi ** (x.length - 1 - i))), colour: 'dim', dash: true },
          ],
          xLabel: 'layer: left the input',
          yLabel: 'mean squared gradient',
          logarithmic: true,
          named: (at) => `layer ${at}`,
        },
      ],
      said: `Here theory expects χ = ${words(chi)} per layer, in the mean square: ${chi < 0.97 ? 'the gradient vanishes' : chi > 1.03 ? 'it explodes' : 'the edge, where deep networks train'}. Measured: ${words(found.per_layer)}.`,
    }
  })
  return el('div', {}, box.element, el('figure', {}, canvas, caption))
}
