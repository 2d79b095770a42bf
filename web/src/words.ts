// Numbers as people read them.
import { number, type Num } from './view'

const RAISED: Record<string, string> = { '-': '⁻', '0': '⁰', '1': '¹', '2': '²', '3': '³', '4': '⁴', '5': '⁵', '6': '⁶', '7': '⁷', '8': '⁸', '9': '⁹' }

/** A magnitude with `digits` significant digits: 0.0123, 3.1 × 10⁻⁹. */
export function words(value: Num | undefined, digits = 3): string {
  const found = number(value)
  if (found === null) return '–'
  if (!Number.isFinite(found)) return Number.isNaN(found) ? 'not a number' : found > 0 ? 'infinite' : '−infinite'
  if (found === 0) return '0'
  const size = Math.abs(found)
  if (size >= 1e-3 && size < 1e5) return String(Number(found.toPrecision(digits)))
  const [mantissa = '', exponent = '0'] = found.toExponential(Math.max(0, digits - 1)).split('e')
  return `${mantissa} × ${power(Number(exponent))}`
}

/** A number on an axis: as many digits as it has, at most six. */
export function tick(value: number): string {
  const [mantissa = '', ...raised] = words(value, 6).split(' × ')
  return [String(Number(mantissa)), ...raised].join(' × ')
}

/** A power of ten: 10⁻⁹. */
export function power(exponent: number): string {
  return `10${[...String(exponent)].map((sign) => RAISED[sign] ?? '').join('')}`
}

/** A share in percent. */
export function percent(value: Num | undefined, digits = 1): string {
  const found = number(value)
  return found === null || !Number.isFinite(found) ? '–' : `${(100 * found).toFixed(digits).replace(/^-(0(\.0*)?)$/, '$1')} %`
}

/** The names of layers as short as they stay different: the common beginning is cut. */
export function tail(name: string, most = 26): string {
  return name.length <= most ? name : `…${name.slice(1 - most).replace(/^\.+/, '')}`
}
