// The phase diagram: theory as a map around the edge, and one measured network where the reader puts it.
import { colour, onDress } from '../charts/colours'
import { choice, el, slider } from '../element'
import { positive } from '../view'
import { words } from '../words'
import type { Options } from './experiment'
import { drawn } from './others'
import { exported, question } from './source'

interface Phases {
  weights: number[]
  biases: number[]
  gains: number[][]
  line: [number, number][]
}

interface Point {
  measured: number[]
  per_layer: number
}

// Blue over white to orange: χ has a middle, 1, and two sides. Told apart by the colour-blind; both ends are dark.
const STOPS = [[8, 58, 122], [67, 147, 195], [247, 247, 247], [244, 165, 100], [150, 52, 4]]
const [LEFT, BOTTOM, TOP, RIGHT] = [44, 40, 6, 10]

/** The colour of a factor: a third is blue, one is white, three is orange. */
function shade(gain: number): [number, number, number] {
  const place = Math.min(Math.max(0.5 + Math.log(Math.max(gain, 1e-6)) / Math.log(9), 0), 1) * (STOPS.length - 1)
  const low = Math.min(Math.floor(place), STOPS.length - 2)
  const channel = (which: number): number => Math.round((STOPS[low]?.[which] ?? 0) + ((STOPS[low + 1]?.[which] ?? 0) - (STOPS[low]?.[which] ?? 0)) * (place - low))
  return [channel(0), channel(1), channel(2)]
}

/** Build the phase diagram. */
export function phases(options: Options): HTMLElement {
  let activation = options.phases[0] ?? 'tanh'
  let [w, b] = [9, 0]
  let shown: Phases | null = null
  const maps = new Map<string, Phases>()
  const canvas = el('canvas', { class: 'phase', role: 'img', 'aria-label': 'Phase diagram: blue vanishes, orange explodes; the sliders choose a network' })
  const inside = (): { width: number; height: number } => ({ width: canvas.clientWidth - LEFT - RIGHT, height: canvas.clientHeight - TOP - BOTTOM })
  canvas.addEventListener('click', (event) => {
    const place = canvas.getBoundingClientRect()
    const { width, height } = inside()
    const at = (share: number, count: number): number => Math.min(count - 1, Math.max(0, Math.floor(count * share)))
    w = at((event.clientX - place.left - LEFT) / width, 40)
    if (!exported()) b = at(1 - (event.clientY - place.top - TOP) / height, 26)
    box.refresh()
  })
  const weight = slider('fan_in × Var[w]', { low: 0, high: 39, value: w }, (at) => words(shown?.weights[at] ?? 0), (at) => ((w = at), box.refresh()))
  const bias = slider('Var[b]', { low: 0, high: 25, value: b }, (at) => words(shown?.biases[at] ?? 0, 2), (at) => ((b = at), box.refresh()))
  const chosen = choice('activation', options.phases.map((name) => [name, name]), activation, (value) => ((activation = value), box.refresh()))

  function paint(): void {
    const context = canvas.getContext('2d')
    if (context === null || shown === null || canvas.clientWidth === 0) return
    const ratio = devicePixelRatio || 1
    canvas.width = Math.round(canvas.clientWidth * ratio)
    canvas.height = Math.round(canvas.clientHeight * ratio)
    context.setTransform(ratio, 0, 0, ratio, 0, 0)
    const { weights, biases, gains, line } = shown
    const { width, height } = inside()
    const [wide, tall] = [width / 40, height / 26]
    const [right, down] = [(i: number): number => Math.round(LEFT + i * wide), (j: number): number => Math.round(TOP + j * tall)]
    gains.forEach((row, j) => row.forEach((gain, i) => {
      context.fillStyle = `rgb(${shade(gain).join(' ')})`
      context.fillRect(right(i), down(25 - j), right(i + 1) - right(i), down(26 - j) - down(25 - j))
    }))
    const step = (weights[1] ?? 1) - (weights[0] ?? 0)
    const x = (value: number): number => LEFT + ((value - (weights[0] ?? 0)) / step + 0.5) * wide
    const y = (value: number): number => TOP + height - (25 * value + 0.5) * tall
    context.save()
    context.beginPath()
    context.rect(LEFT, TOP, width, height)
    context.clip()
    for (const [style, thick] of [['#ffffff', 5], ['#000000', 2]] as const) {
      context.strokeStyle = style
      context.lineWidth = thick
      context.beginPath()
      line.forEach(([of, at], i) => (i === 0 ? context.moveTo(x(of), y(at)) : context.lineTo(x(of), y(at))))
      context.stroke()
      context.strokeRect(LEFT + w * wide, TOP + (25 - b) * tall, wide, tall)
    }
    context.restore()
    context.fillStyle = colour('dim')
    context.font = '12px system-ui, sans-serif'
    context.textAlign = 'center'
    context.textBaseline = 'top'
    const high = weights.at(-1) ?? 1
    for (let tick = 1; tick <= 4; tick++) context.fillText(words((high * tick) / 4), Math.min(x((high * tick) / 4), LEFT + width - 8), TOP + height + 4)
    context.fillText('fan_in × Var[w]', LEFT + width / 2, TOP + height + 22)
    context.textAlign = 'right'
    context.textBaseline = 'middle'
    for (const tick of [0, 0.25, 0.5, 0.75, 1]) context.fillText(words(biases.at(-1) === 1 ? tick : 0), LEFT - 6, Math.max(y(tick), TOP + 6))
    context.save()
    context.translate(8, TOP + height / 2)
    context.rotate(-Math.PI / 2)
    context.textAlign = 'center'
    context.fillText('Var[b]', 0, 0)
    context.restore()
  }

  const caption = el('figcaption', { class: 'dim' }, 'To the right larger weights, upwards larger biases. Blue: the gradient vanishes; orange: it explodes; the black line is the edge, χ = 1. The square is the network that is measured. Click, or use the sliders, to measure another.')
  const knobs = exported() ? [chosen, weight.element] : [chosen, weight.element, bias.element]
  const box = drawn(knobs, async () => {
    const [of, column, row] = [activation, w, b]
    const map = maps.get(of) ?? (await question<Phases>('phases', { activation: of }))
    maps.set(of, map)
    const variances = { weight_variance: map.weights[column] ?? 1, bias_variance: map.biases[row] ?? 0 }
    const found = await question<Point>('phase_point', { activation: of, ...variances, seed: 0 })
    const chi = map.gains[row]?.[column] ?? 1
    const x = found.measured.map((_, i) => i + 1)
    return {
      also: () => {
        shown = map
        weight.set(w)
        bias.set(b)
        paint()
      },
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
  const scale = el('span', { class: 'diverging', 'aria-hidden': 'true' })
  const figure = el('figure', {}, el('div', { class: 'legend' }, 'χ ≤ 1/3', scale, 'χ ≥ 3'), canvas, caption)
  new ResizeObserver(paint).observe(canvas)
  onDress(figure, paint)
  return el('div', {}, box.element, figure)
}
