// Magnitudes: how the numbers of each layer are spread over the powers of two, at the readings that a run kept.
import { type Cells, magnitude, MISSING, unpack, ZERO } from '../charts/cells'
import { heatmap } from '../charts/heatmap'
import { choice, el, section, slider } from '../element'
import type { Histograms, Network } from '../view'
import { tail, words } from '../words'

// Below these a number of a format is subnormal (its last bits go) or 0.
const LIMITS: [number, string][] = [
  [-14, 'half precision keeps fewer bits'],
  [-24, 'half precision makes it 0'],
]
const SCALE: [number, number] = [-12 * 32, 0] // one value in 4,096 to all of them

/** The octaves of one reading as a table: columns are powers of two, rows modules. */
export function octavesAt(all: Cells, shape: { first: number; octaves: number; names: string[] }, reading: number): Cells {
  const rows = shape.names.length
  const whole = all.codes.subarray(reading * all.rows, (reading + 1) * all.rows)
  const used = Array.from({ length: shape.octaves }, (_, k) => k).filter((k) => shape.names.some((_, row) => (whole[row * shape.octaves + k] ?? ZERO) > ZERO))
  const [from, to] = [used[0] ?? 0, used.at(-1) ?? shape.octaves - 1]
  const steps = Array.from({ length: to - from + 1 }, (_, k) => shape.first + from + k)
  const codes = new Int16Array(steps.length * rows)
  for (let row = 0; row < rows; row++) {
    const own = whole.subarray(row * shape.octaves, (row + 1) * shape.octaves)
    for (let k = 0; k < steps.length; k++) codes[k * rows + row] = (own[from + k] ?? ZERO) > ZERO ? (own[from + k] ?? MISSING) : MISSING
  }
  return { series: `${all.series} ${from} ${to}`, name: all.name, unit: 'of the values', names: shape.names, steps, rows, every: 1, codes }
}

/** The octave that holds most of a module's values. */
function fullest(cells: Cells, row: number): number {
  let best = 0
  for (let k = 1; k < cells.steps.length; k++) if ((cells.codes[k * cells.rows + row] ?? MISSING) > (cells.codes[best * cells.rows + row] ?? MISSING)) best = k
  return best
}

function figure(network: Network): HTMLElement {
  let shown: Histograms = network.histograms.find((one) => one.name === 'gradient') ?? (network.histograms[0] as Histograms)
  let [unpacked, cells]: [Cells | null, Cells | null] = [null, null]
  let [reading, column, row] = [shown.steps.length - 1, 0, 0]
  const readout = el('output', { class: 'readout', 'aria-live': 'polite' })
  const tell = (): void => {
    if (cells === null) return
    const code = cells.codes[column * cells.rows + row] ?? MISSING
    const octave = cells.steps[column] ?? 0
    const share = `${words(100 * (magnitude(code) ?? 0), 2)} % of its ${shown.name === 'signal' ? 'outputs' : 'gradients'}`
    const below = LIMITS.filter(([limit]) => octave < limit).at(-1)?.[1]
    readout.textContent = `step ${shown.steps[reading] ?? ''}, ${tail(cells.names[row] ?? '', 40)}: ${share} between 2^${octave} and 2^${octave + 1}${below === undefined ? '' : ` (${below})`}`
  }
  const map = heatmap(
    `Magnitudes of ${network.title}`,
    (c, r) => {
      ;[column, row] = [c, r]
      tell()
    },
    { axis: '2^', whole: 'All octaves', bare: [['missing', 'none']] },
  )
  function draw(): void {
    if (unpacked === null) return
    const before = cells?.steps[column]
    cells = octavesAt(unpacked, shown, reading)
    map.show(cells, SCALE)
    const same = before === undefined ? -1 : cells.steps.indexOf(before)
    column = same >= 0 ? same : fullest(cells, row)
    map.pick(column, row)
    tell()
  }
  async function use(name: string): Promise<void> {
    const found = network.histograms.find((one) => one.name === name)
    if (found === undefined) return
    const taken = await unpack(found)
    ;[shown, unpacked] = [found, taken]
    reading = Math.min(reading, found.steps.length - 1)
    time.set(reading, found.steps.length - 1)
    draw()
  }
  const time = slider('step', { low: 0, high: reading, value: reading }, (v) => String(shown.steps[v] ?? ''), (v) => {
    reading = v
    draw()
  })
  const knob = choice('Spread of', network.histograms.map((one) => [one.name, `${one.name}s of every module`]), shown.name, (name) => void use(name))
  void use(shown.name)
  return el('div', { class: 'course magnitudes' }, el('div', { class: 'row' }, knob), map.element, time.element, readout)
}

/** The section with the histograms of every network that kept some. */
export function magnitudesSection(networks: Network[]): HTMLElement | null {
  const shown = networks.filter((network) => network.histograms.length > 0)
  if (shown.length === 0) return null
  return section(
    'Magnitudes',
    'How large the numbers of each layer are: columns are powers of two, the brighter the more of them. Values left of 2^-24 are 0 in half precision, those left of 2^-14 lose bits there; a sampled sixteenth was counted.',
    el('div', { class: 'columns' }, ...shown.map((network) => el('div', {}, shown.length > 1 && el('h3', {}, network.title), figure(network)))),
  )
}
