// Cells: tables of magnitudes as `photic/reports/cells.py` packs them; unpacked, appended, read.
import type { Heat } from '../view'

export const PER_OCTAVE = 32
export const MISSING = -32768
export const ZERO = -32767
export const INFINITE = 32767

/** A table of readings; the cells of one step lie beside each other: `codes[step * rows + row]`. */
export interface Cells {
  series: string
  name: string
  unit: string
  names: string[]
  steps: number[]
  rows: number
  every: number
  codes: Int16Array
}

/** Unpack a heat map; the browser inflates it. */
export async function unpack(heat: Heat): Promise<Cells> {
  const packed = Uint8Array.from(atob(heat.data), (sign) => sign.charCodeAt(0))
  const planes = heat.bare === true ? packed : await inflated(packed)
  const { rows, steps } = heat
  const count = steps.length
  const half = rows * count
  const codes = new Int16Array(half)
  for (let row = 0; row < rows; row++) {
    let code = 0
    for (let step = 0, from = row * count; step < count; step++, from++) {
      code += (planes[from] ?? 0) | ((planes[half + from] ?? 0) << 8)
      codes[step * rows + row] = code // the array keeps the low 16 bits, with their sign
      code = codes[step * rows + row] ?? 0
    }
  }
  return { series: heat.series, name: heat.name, unit: heat.unit, names: heat.names, steps: [...steps], rows, every: heat.every, codes }
}

async function inflated(packed: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream('deflate'))
  return new Uint8Array(await new Response(stream).arrayBuffer())
}

/** Put newer steps behind the older ones; of another width: they replace them. */
export function joined(old: Cells, newer: Cells): Cells {
  if (old.rows !== newer.rows) return newer
  const last = old.steps.at(-1) ?? -Infinity
  const from = newer.steps.findIndex((step) => step > last)
  if (from < 0) return old
  const codes = new Int16Array(old.codes.length + (newer.steps.length - from) * old.rows)
  codes.set(old.codes)
  codes.set(newer.codes.subarray(from * old.rows), old.codes.length)
  return { ...old, names: newer.names, steps: [...old.steps, ...newer.steps.slice(from)], codes }
}

/** The magnitude of a code; null where nothing was measured. */
export function magnitude(code: number): number | null {
  if (code === MISSING) return null
  if (code === ZERO) return 0
  return code === INFINITE ? Infinity : 2 ** (code / PER_OCTAVE)
}

/** Each cell over the one of the last row that was measured at the same step: how much of the gradient is left. */
export function relative(cells: Cells): Cells {
  const codes = new Int16Array(cells.codes.length)
  const { rows } = cells
  for (let step = 0; step < cells.steps.length; step++) {
    let top = MISSING
    for (let row = rows - 1; row >= 0 && top === MISSING; row--) {
      const code = cells.codes[step * rows + row] ?? MISSING
      if (code > ZERO && code < INFINITE) top = code
    }
    for (let row = 0; row < rows; row++) {
      const code = cells.codes[step * rows + row] ?? MISSING
      codes[step * rows + row] = code <= ZERO || code === INFINITE || top === MISSING ? code : code - top
    }
  }
  return { ...cells, name: `${cells.name}, relative to the top`, unit: 'of the top', codes }
}

/** Two decades: a healthy network, whose layers differ little, should look even. */
const LEAST = Math.round(2 * Math.log2(10) * PER_OCTAVE)

/** The codes between which all but one in two hundred cells at either end lie, two decades apart at least. */
export function span(cells: Cells): [number, number] {
  const counts = new Uint32Array(65536)
  let total = 0
  for (const code of cells.codes) {
    if (code > ZERO && code < INFINITE) {
      counts[code + 32768] = (counts[code + 32768] ?? 0) + 1
      total++
    }
  }
  if (total === 0) return [0, PER_OCTAVE]
  const at = (share: number): number => {
    let seen = 0
    for (let index = 0; index < 65536; index++) {
      seen += counts[index] ?? 0
      if (seen > share * (total - 1)) return index - 32768
    }
    return INFINITE
  }
  const [low, high] = [at(0.005), at(0.995)]
  const wanting = Math.max(0, LEAST - (high - low)) / 2
  return [low - wanting, high + wanting]
}
