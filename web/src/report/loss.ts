// The losses of a run as a chart: over the steps, or over the columns of the heat map where those are not evenly spaced.
import type { Spec } from '../charts/lines'

/** Whether readings are the same number of steps apart. */
export function even(steps: number[]): boolean {
  const gap = (steps[1] ?? 0) - (steps[0] ?? 0)
  return steps.every((step, i) => i === 0 || step - (steps[i - 1] ?? 0) === gap)
}

/** The place of each step among readings: a whole number is a reading, 1.5 lies half-way between the second and the third. */
export function places(steps: number[], read: number[]): number[] {
  let at = 0
  return steps.map((step) => {
    while (at + 2 < read.length && (read[at + 1] ?? 0) <= step) at++
    const [from, to] = [read[at] ?? 0, read[at + 1] ?? 0]
    return at + (step - from) / Math.max(to - from, 1)
  })
}

/** What the chart of the losses shows; a loss that is not finite is a gap, and one that shoots up gets decades. */
export function lossSpec(steps: number[] | null, losses: (number | null)[], read: number[]): Spec {
  const values = losses.map((loss) => (loss !== null && Number.isFinite(loss) ? loss : null))
  const seen = values.filter((value) => value !== null)
  const [least, most] = bounds(seen)
  const wide = seen.length > 1 && least > 0 && most > 1000 * least
  const line = { label: 'loss', values, colour: 'b', points: values.length <= 60 }
  const shown = { label: 'Loss', lines: [line], yLabel: 'loss', height: 240, logarithmic: wide }
  if (steps === null) return { ...shown, x: values.map((_, i) => i + 1), xLabel: 'reading', named: (x) => `reading ${x}` }
  if (read.length < 2 || even(read)) return { ...shown, x: steps, xLabel: 'step', named: (x) => `step ${x}` }
  const x = places(steps, read)
  const step = new Map(x.map((place, i) => [place, steps[i] ?? 0]))
  return { ...shown, x, xLabel: 'step, spaced as the columns above', ticks: (place) => String(read[place] ?? ''), named: (place) => `step ${step.get(place) ?? ''}` }
}

/** The least and the largest of many numbers: more than an argument list bears. */
function bounds(values: number[]): [number, number] {
  return values.reduce<[number, number]>(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [Infinity, -Infinity])
}
