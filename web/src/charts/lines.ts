// Lines: uPlot with our dress, keys that move the cursor, and the numbers under it in words.
import uPlot from 'uplot'
import 'uplot/dist/uPlot.min.css'
import { el } from '../element'
import { power, tick, words } from '../words'
import { colour, faint, onDress } from './colours'

export interface Line {
  label: string
  values: (number | null)[]
  colour: string
  dash?: boolean
  points?: boolean
  width?: number
  /** Filled down to the series of this index (1 is the first line); not drawn and not read out itself. */
  bandTo?: number
  silent?: boolean
}

export interface Spec {
  label: string
  x: number[]
  lines: Line[]
  xLabel: string
  yLabel: string
  logarithmic?: boolean
  height?: number
  /** What an x is called under the cursor and on the axis. */
  named?: (x: number) => string
  ticks?: (x: number) => string
  /** The ticks are names: they stand aslant. */
  slanted?: boolean
  range?: [number, number]
  picked?: (index: number) => void
}

export interface Chart {
  element: HTMLElement
  update(spec: Spec): void
}

/** Draw lines over numbers. */
export function lines(given: Spec): Chart {
  let spec = given
  const stage = el('div', { class: 'lines', tabindex: 0, role: 'group', 'aria-label': `${spec.label}; arrow keys move` })
  const legend = el('div', { class: 'legend' })
  const output = el('output', { class: 'readout dim', 'aria-live': 'off' }, 'Point at it, or use the arrow keys, for the numbers.')
  let plot: uPlot | null = null
  let at = -1

  function tell(index: number): void {
    at = index
    const x = spec.x[index]
    if (x === undefined) return
    const read = spec.lines.filter((line) => line.silent !== true && line.values[index] !== undefined)
    const numbers = read.map((line) => `${line.label} ${words(line.values[index] ?? null)}`).join(' · ')
    output.classList.remove('dim')
    output.textContent = `${spec.named?.(x) ?? words(x, 6)}: ${numbers}`
    spec.picked?.(index)
  }

  function draw(): void {
    plot?.destroy()
    plot = null
    const width = stage.clientWidth
    if (width === 0 || spec.x.length === 0) return
    plot = new uPlot(options(spec, width, tell), [spec.x, ...spec.lines.map((line) => line.values)] as uPlot.AlignedData, stage)
    explain()
  }

  function explain(): void {
    legend.replaceChildren(
      ...spec.lines
        .filter((line) => line.silent !== true)
        .map((line) => {
          const mark = el('span', { class: `mark ${line.dash === true ? 'dashed' : ''}` })
          mark.style.borderColor = colour(line.colour)
          return el('span', { class: 'key' }, mark, line.label)
        }),
    )
  }

  stage.addEventListener('keydown', (event) => {
    const change = event.key === 'ArrowLeft' ? -1 : event.key === 'ArrowRight' ? 1 : 0
    if (change === 0 || plot === null) return
    event.preventDefault()
    const index = Math.min(Math.max(at + change, 0), spec.x.length - 1)
    const left = plot.valToPos(spec.x[index] ?? 0, 'x')
    plot.setCursor({ left, top: plot.over.clientHeight / 2 })
    tell(index)
  })
  const element = el('figure', {}, legend, stage, output)
  let last = 0
  new ResizeObserver(() => {
    if (stage.clientWidth !== last) {
      last = stage.clientWidth
      draw()
    }
  }).observe(stage)
  onDress(element, draw)
  return {
    element,
    update(next) {
      const same = plot !== null && looks(next) === looks(spec) && (next.ticks === undefined || (next.ticks === spec.ticks && next.x.length === spec.x.length))
      const named = next.lines.map((line) => line.label).join('\n') === spec.lines.map((line) => line.label).join('\n')
      spec = next
      if (!same) return draw()
      plot?.setData([next.x, ...next.lines.map((line) => line.values)] as uPlot.AlignedData)
      if (!named) explain()
    },
  }
}

/** All that a plot is built for; with the same looks only its numbers are exchanged. */
function looks(spec: Spec): string {
  const { xLabel, yLabel, logarithmic, height, range, slanted } = spec
  return JSON.stringify([xLabel, yLabel, logarithmic, height, range, slanted, spec.lines.map(({ label: _, values: __, ...line }) => line)])
}

function options(spec: Spec, width: number, tell: (index: number) => void): uPlot.Options {
  const axis = { stroke: colour('dim'), grid: { stroke: colour('line'), width: 1 }, ticks: { stroke: colour('line'), width: 1 }, font: '11px system-ui, sans-serif', labelFont: '12px system-ui, sans-serif', labelSize: 20 }
  return {
    width,
    height: spec.height ?? 280,
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { size: 7 } },
    scales: {
      x: { time: false, ...(spec.range === undefined ? { range: (_, low, high) => (high > low ? [low, high] : [low - 1, high + 1]) } : { range: spec.range }) },
      y: spec.logarithmic === true ? { distr: 3, range: (_, low, high) => decades(low, high) } : {},
    },
    axes: [
      {
        ...axis,
        label: spec.xLabel,
        ...(spec.slanted === true ? { size: 26 + 4.4 * longest(spec), rotate: 45, space: 17 } : { size: 28 }),
        ...(spec.ticks === undefined ? {} : { values: (_: uPlot, splits: number[]) => splits.map((x) => (Number.isInteger(x) ? (spec.ticks?.(x) ?? '') : '')), incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000] }),
      },
      {
        ...axis,
        label: spec.yLabel,
        size: (_: uPlot, values: string[] | null) => Math.max(56, 16 + 6 * widest(values ?? [])),
        ...(spec.logarithmic === true ? { filter: (_: uPlot, splits: number[]) => splits, splits: (_: uPlot, __: number, low: number, high: number) => powers(low, high), values: (_: uPlot, splits: number[]) => splits.map((value) => power(Math.round(Math.log10(value)))) } : { values: (_: uPlot, splits: number[]) => splits.map(tick) }),
      },
    ],
    series: [
      {},
      ...spec.lines.map((line) => ({
        label: line.label,
        stroke: line.silent === true && line.bandTo !== undefined ? 'transparent' : colour(line.colour),
        width: line.width ?? 2,
        spanGaps: false,
        points: { show: line.points ?? false, size: 6, fill: colour(line.colour) },
        ...(line.dash === true ? { dash: [6, 4] } : {}),
      })),
    ],
    bands: spec.lines.flatMap((line, index) => (line.bandTo === undefined ? [] : [{ series: [index + 1, line.bandTo] as [number, number], fill: faint(line.colour, 0.18) }])),
    hooks: {
      setCursor: [(plot) => { if (plot.cursor.idx !== null && plot.cursor.idx !== undefined && (plot.cursor.left ?? -1) >= 0) tell(plot.cursor.idx) }],
    },
  }
}

/** How many letters the longest tick has. */
const longest = (spec: Spec): number => widest(spec.x.map((x) => spec.ticks?.(x) ?? ''))
const widest = (texts: string[]): number => texts.reduce((most, text) => Math.max(most, text.length), 1)

function decades(low: number, high: number): [number, number] {
  if (!(low > 0) || !(high > 0)) return [0.1, 10]
  const bottom = Math.floor(Math.log10(low) - 0.02)
  return [10 ** bottom, 10 ** Math.max(bottom + 1, Math.ceil(Math.log10(high) + 0.02))]
}

/** At most nine powers of ten. */
function powers(low: number, high: number): number[] {
  const [bottom, top] = [Math.round(Math.log10(low)), Math.round(Math.log10(high))]
  const each = Math.max(1, Math.ceil((top - bottom) / 8))
  return Array.from({ length: Math.floor((top - bottom) / each) + 1 }, (_, i) => 10 ** (top - i * each)).reverse()
}
