// Where the network's units sit on their activation: the curve, its slope, and layer by layer the pre-activations.
import { el, section, slider, svg } from '../element'
import type { Curve, Network } from '../view'
import { tail, words } from '../words'

const SHARES = [0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1]
const WIDE = 460
const TOP = 210

/** Whether a slope steps between neighbouring points: no activation here that is smooth changes it so fast. */
export const jumps = (before: number | undefined, after: number | undefined): boolean => before !== undefined && after !== undefined && Math.abs(after - before) > 0.3

let clips = 0

/** Draw one activation with the units of all its layers; the slider chooses whose histogram stands on the slope. */
export function unitsFigure(curve: Curve, title: string): { element: HTMLElement; choose(index: number): void } {
  const low = curve.x[0] ?? -8
  const high = curve.x.at(-1) ?? 8
  const x = (value: number): number => 38 + ((Math.min(Math.max(value, low), high) - low) / (high - low)) * (WIDE - 48)
  const all = [...curve.value.filter((v) => Math.abs(v) <= 3), ...curve.slope.filter((v) => Math.abs(v) <= 3), 0]
  const [bottom, top] = [Math.min(...all), Math.max(...all)]
  const y = (value: number): number => 8 + ((top - value) / (top - bottom)) * (TOP - 30)
  const shown = curve.sites.length
  const each = Math.max(3, Math.min(12, 220 / Math.max(shown, 1)))
  const height = TOP + 16 + shown * each + 10
  const frame = `units-${clips++}` // curves leave it; a curve that went on along its edge would look saturated
  const drawing = svg('svg', { class: 'units', viewBox: `0 0 ${WIDE} ${height}`, role: 'img', 'aria-label': `${curve.name}, its slope, and the pre-activations of ${shown} layers on it` })
  for (let tick = Math.ceil(low); tick <= high; tick += 2) {
    drawing.append(svg('line', { x1: x(tick), x2: x(tick), y1: 4, y2: height - 6, class: 'grid' }))
    drawing.append(svg('text', { x: x(tick), y: TOP, 'text-anchor': 'middle' }, tick))
  }
  const ticks = new Set([bottom, 0, top].filter((value) => value === 0 || Math.abs(y(value) - y(0)) > 11)) // else it is written over the 0
  for (const value of ticks) drawing.append(svg('text', { x: 34, y: y(value) + 4, 'text-anchor': 'end' }, words(value, 2)))
  const histogram = svg('path', { class: 'histogram' })
  drawing.append(histogram)
  const point = (kind: string, at: number | undefined, value: number): string => `${kind}${x(at ?? 0).toFixed(1)} ${y(value).toFixed(1)}`
  const path = (values: number[], steps: boolean): string =>
    values.map((v, i) => (steps && jumps(values[i - 1], v) ? point('M', curve.x[i - 1], v) : '') + point(i === 0 ? 'M' : 'L', curve.x[i], v)).join('')
  drawing.append(
    svg('clipPath', { id: frame }, svg('rect', { x: x(low), y: 4, width: x(high) - x(low), height: TOP - 22 })),
    svg('path', { d: path(curve.value, false), class: 'curve value', 'clip-path': `url(#${frame})` }),
    svg('path', { d: path(curve.slope, true), class: 'curve slope', 'clip-path': `url(#${frame})` }),
  )
  const strips = curve.quantiles.map((q, index) => {
    const at = TOP + 16 + (index + 0.5) * each
    const line = (from: number, to: number, kind: string): SVGElement => svg('line', { x1: x(q[from] ?? 0), x2: x(q[to] ?? 0), y1: at, y2: at, class: kind })
    const group = svg('g', { class: 'strip' }, line(1, 7, 'outer'), line(3, 5, 'inner'), svg('circle', { cx: x(q[4] ?? 0), cy: at, r: Math.min(3, each / 3) }), svg('title', {}, curve.sites[index] ?? ''))
    drawing.append(group)
    return group
  })
  drawing.append(svg('text', { x: 4, y: TOP + 18 + each / 2, class: 'small' }, '1'), svg('text', { x: 4, y: TOP + 18 + (shown - 0.5) * each, class: 'small' }, shown > 1 ? shown : ''))
  const dots = svg('g', { class: 'dots' })
  drawing.append(dots)
  drawing.append(svg('text', { x: WIDE - 4, y: TOP + 13, 'text-anchor': 'end', class: 'small' }, 'pre-activation z'))
  const caption = el('output', { class: 'readout' })
  const slopeAt = (z: number): number => {
    const place = curve.x.findIndex((value) => value >= z)
    return curve.slope[place < 0 ? curve.slope.length - 1 : place] ?? 0
  }

  function choose(index: number): void {
    const q = curve.quantiles[index]
    if (q === undefined) return
    histogram.setAttribute('d', density(q, x, low, high))
    dots.replaceChildren(...q.slice(1, -1).map((z) => svg('circle', { cx: x(z), cy: y(slopeAt(z)), r: 3 })))
    strips.forEach((strip, i) => strip.classList.toggle('chosen', i === index))
    caption.textContent = `${curve.sites[index] ?? ''}: half of the pre-activations between ${words(q[3] ?? 0)} and ${words(q[5] ?? 0)}, 98 % between ${words(q[1] ?? 0)} and ${words(q[7] ?? 0)}; the slope at the median is ${words(slopeAt(q[4] ?? 0))}`
  }

  choose(0)
  const chosen = slider('layer', { low: 1, high: Math.max(1, shown), value: 1 }, (v) => tail(curve.sites[v - 1] ?? '', 20), (v) => choose(v - 1))
  const legend = el(
    'div',
    { class: 'legend' },
    el('span', { class: 'key' }, el('span', { class: 'swatch value' }), curve.name),
    el('span', { class: 'key' }, el('span', { class: 'swatch slope' }), 'its slope: the factor on the gradient'),
    el('span', { class: 'key' }, el('span', { class: 'swatch histogram' }), 'units of the chosen layer; the dots: where 1, 5, 25, 50, 75, 95 and 99 % of them sit on the slope'),
  )
  return { element: el('figure', { 'aria-label': `${curve.name} in ${title}` }, legend, drawing, shown > 1 && chosen.element, caption), choose }
}

/** The histogram that the known quantiles determine: bins between neighbours, area = share of the units. */
function density(quantiles: number[], x: (value: number) => number, low: number, high: number): string {
  const bins = SHARES.slice(1).map((share, i) => {
    const [from, to] = [quantiles[i] ?? 0, quantiles[i + 1] ?? 0]
    return { from, to, height: (share - (SHARES[i] ?? 0)) / Math.max(to - from, (high - low) / 400) }
  })
  const tallest = Math.max(...bins.map((bin) => bin.height), 1e-9)
  const y = (value: number): number => TOP - 22 - (value / tallest) * (TOP - 60)
  const corners = bins.filter((bin) => bin.to >= low && bin.from <= high).map((bin) => `L${x(bin.from).toFixed(1)} ${y(bin.height).toFixed(1)}H${x(bin.to).toFixed(1)}`)
  const [start, stop] = [x(quantiles[0] ?? 0), x(quantiles.at(-1) ?? 0)]
  return `M${start.toFixed(1)} ${y(0)}${corners.join('')}L${stop.toFixed(1)} ${y(0)}Z`
}

/** The section with every activation of every network. */
export function unitsSection(networks: Network[]): HTMLElement | null {
  const figures = networks.flatMap((network) =>
    network.curves.map((curve) => el('div', {}, el('h3', {}, `${curve.name}${networks.length > 1 ? `, ${network.title}` : ''}`), unitsFigure(curve, network.title).element)),
  )
  if (figures.length === 0) return null
  return section(
    'Where the units sit on their activation',
    'What passes back through a unit is multiplied by the slope where it sits. Below the curve each layer has a strip: half of its units lie on the thick part, 98 % on the thin one.',
    el('div', { class: 'columns' }, ...figures),
  )
}
