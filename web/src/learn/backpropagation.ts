// Backpropagation through a small network: every delta with its formula and its number.
import { choice, el, slider, svg, table } from '../element'
import { words } from '../words'
import { type Options } from './experiment'
import { exported, lately, question } from './source'

interface Layer {
  weights: number[][]
  z: number[]
  a: number[]
  slope: number[]
  formula: number[]
  autograd: number[]
  weight_gradient: number[][]
}

interface Found {
  input: number[]
  target: number
  loss: number
  layers: Layer[]
}

const SCALES = [0.25, 0.5, 1, 2, 4]

/** Build the small network. */
export function backpropagation(options: Options): HTMLElement {
  let activation = 'sigmoid'
  let [scale, seed] = [1, 0]
  const message = el('p', { class: 'bad', role: 'alert' })
  const stage = el('div')
  const refresh = lately(() => question<Found>('backpropagation', { activation, scale, seed }), (found) => {
    stage.replaceChildren(picture(found), deltas(found, activation))
  }, (text) => (message.textContent = text))
  refresh()
  return el(
    'div',
    { class: 'experiment' },
    el(
      'div',
      { class: 'row knobs' },
      choice('activation', options.activation.map((name) => [name, name]), activation, (value) => ((activation = value), refresh())),
      slider('weights times', { low: 0, high: SCALES.length - 1, value: 2 }, (at) => String(SCALES[at]), (at) => ((scale = SCALES[at] ?? 1), refresh())).element,
      !exported() && slider('seed', { low: 0, high: 20, value: 0 }, String, (value) => ((seed = value), refresh())).element,
    ),
    message,
    stage,
  )
}

function picture(found: Found): SVGElement {
  const columns = [found.input, ...found.layers.map((layer) => layer.a)]
  const x = (column: number): number => 40 + column * 126
  const y = (unit: number, count: number): number => 110 + (unit - (count - 1) / 2) * 110
  const drawing = svg('svg', { class: 'small-network', viewBox: '0 0 460 240', role: 'img', 'aria-label': 'A network of 2, 2, 2 and 1 units; thicker lines carry more gradient' })
  const largest = Math.max(...found.layers.flatMap((layer) => layer.weight_gradient.flat().map(Math.abs)), 1e-12)
  found.layers.forEach((layer, l) =>
    layer.weights.forEach((row, to) =>
      row.forEach((weight, from) => {
        const count = columns[l]?.length ?? 1
        const width = 1 + 7 * Math.sqrt(Math.abs(layer.weight_gradient[to]?.[from] ?? 0) / largest)
        drawing.append(svg('line', { x1: x(l), y1: y(from, count), x2: x(l + 1), y2: y(to, layer.a.length), class: 'wire', 'stroke-width': width.toFixed(2) }, svg('title', {}, `w = ${words(weight)}, dL/dw = ${words(layer.weight_gradient[to]?.[from] ?? 0)}`)))
      }),
    ),
  )
  columns.forEach((units, column) =>
    units.forEach((value, unit) => {
      const at = y(unit, units.length)
      const delta = column === 0 ? null : (found.layers[column - 1]?.autograd[unit] ?? null)
      drawing.append(svg('circle', { cx: x(column), cy: at, r: 24, class: 'unit' }))
      drawing.append(svg('text', { x: x(column), y: at + 4, 'text-anchor': 'middle', class: 'in' }, words(value, 2)))
      if (delta !== null) drawing.append(svg('text', { x: x(column), y: at + 40, 'text-anchor': 'middle', class: 'delta' }, `δ ${words(delta, 2)}`))
    }),
  )
  return drawing
}

function deltas(found: Found, activation: string): HTMLElement {
  const rows = found.layers
    .flatMap((layer, l) =>
      layer.z.map((_, i) => {
        const above = found.layers[l + 1]
        const formula =
          above === undefined
            ? `a − target = ${words(layer.a[i] ?? 0)} − ${words(found.target)}`
            : `slope(z) × Σ w δ = ${words(layer.slope[i] ?? 0)} × (${above.weights.map((row, j) => `${words(row[i] ?? 0)} × ${words(above.formula[j] ?? 0)}`).join(' + ')})`
        return { l, cells: [`layer ${l + 1}, unit ${i + 1}`, formula, words(layer.formula[i] ?? 0), words(layer.autograd[i] ?? 0)] }
      }),
    )
    .sort((a, b) => b.l - a.l)
    .map((row) => row.cells)
  return el('div', {}, el('p', { class: 'text' }, `Loss ${words(found.loss)}. From the output down, each delta is the slope of ${activation} at the unit times what comes from above:`), table('Every delta', ['unit', 'formula', 'δ by the formula', 'δ by autograd'], rows, [1]))
}
