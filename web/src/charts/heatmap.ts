// The heat map: layers by steps on a canvas; the loss is on top, the input at the bottom, as in the sea.
import { el } from '../element'
import { power, tail, words } from '../words'
import { type Cells, INFINITE, magnitude, MISSING, ZERO } from './cells'
import { colour, hatching, NOT_FINITE, onDress, pixel, SCALE } from './colours'
import type { Span } from './scale'

const LEFT = 150
const BOTTOM = 22

export interface Heatmap {
  element: HTMLElement
  /** Show a table with the codes of its darkest and its brightest colour; the cursor and, where it still fits, the zoom stay. */
  show(cells: Cells, span: Span): void
  /** Draw it with other ends of the scale. */
  rescale(span: Span): void
  /** Put the cursor on a reading and a row. */
  pick(step: number, row: number): void
}

/** What the columns are: how the axis begins, the button that shows them all, and the cells without a colour, class and words. */
export interface Across {
  axis: string
  whole: string
  bare: [string, string][]
}

const STEPS: Across = { axis: 'step ', whole: 'Whole run', bare: [['zero', 'zero'], ['broken', 'not finite'], ['missing', 'not measured']] }

/** Make a heat map; `picked` is told the index of the reading and of the row under the cursor. */
export function heatmap(label: string, picked: (step: number, row: number) => void, across: Across = STEPS): Heatmap {
  const picture = el('canvas', { 'aria-hidden': 'true' })
  const small = el('canvas')
  const over = el('canvas', { class: 'over', 'aria-hidden': 'true' })
  const stage = el('div', { class: 'heat', tabindex: 0, role: 'group', 'aria-label': `${label}; arrow keys move, + and − zoom` }, picture, over)
  const scale = el('canvas', { class: 'scale', width: 256, height: 1, 'aria-hidden': 'true' })
  const ends = [el('span'), el('span')] as const
  const legend = el('div', { class: 'legend' }, ends[0], scale, ends[1], ...across.bare.map(([kind, text]) => el('span', { class: 'key' }, el('span', { class: `swatch ${kind}` }), text)))
  paintScale(scale)
  let cells: Cells | null = null
  let [low, high] = [0, 1]
  let [first, end] = [0, 1]
  let following = true
  let cursor = { step: 0, row: 0 }
  let dragged: number | null = null

  const area = (): { width: number; height: number; left: number } => {
    const left = stage.clientWidth < 560 ? 74 : LEFT
    return { left, width: Math.max(10, stage.clientWidth - left), height: stage.clientHeight - BOTTOM }
  }

  function draw(): void {
    if (cells === null || stage.clientWidth === 0) return
    const ratio = devicePixelRatio || 1
    const { left, width, height } = area()
    for (const canvas of [picture, over]) {
      const [wide, tall] = [Math.round(stage.clientWidth * ratio), Math.round(stage.clientHeight * ratio)]
      if (canvas.width === wide && canvas.height === tall) continue // a canvas that is set again is made again
      canvas.width = wide
      canvas.height = tall
    }
    const context = paper(picture)
    if (context === null) return
    context.setTransform(1, 0, 0, 1, 0, 0)
    context.clearRect(0, 0, picture.width, picture.height)
    const columns = Math.max(1, Math.min(end - first, Math.round(width * ratio)))
    small.width = columns
    small.height = cells.rows
    paper(small)?.putImageData(imageOf(cells, [first, end], columns, [low, high], pixel('card')), 0, 0)
    context.imageSmoothingEnabled = false
    context.fillStyle = hatching(context) // seen where the cells are zero: there the picture is a hole
    context.fillRect(left * ratio, 0, width * ratio, height * ratio)
    context.drawImage(small, left * ratio, 0, width * ratio, height * ratio)
    context.scale(ratio, ratio)
    labels(context, cells, left, width, height)
    drawCursor()
  }

  function labels(context: CanvasRenderingContext2D, shown: Cells, left: number, width: number, height: number): void {
    context.fillStyle = colour('dim')
    context.font = '11px system-ui, sans-serif'
    context.textAlign = 'right'
    context.textBaseline = 'middle'
    const each = Math.max(1, Math.ceil((shown.rows * 14) / height))
    for (let row = 0; row < shown.rows; row += each) {
      const y = ((shown.rows - 1 - row + 0.5) / shown.rows) * height
      context.fillText(tail(shown.names[row] ?? '', left < 100 ? 10 : 22), left - 6, Math.min(Math.max(y, 6), height - 6))
    }
    context.textAlign = 'center'
    context.textBaseline = 'top'
    const ticks = Math.min(Math.max(2, Math.min(10, Math.floor(width / 90))), end - first)
    for (let tick = 0; tick < ticks; tick++) {
      const index = first + Math.round(((end - first - 1) * tick) / Math.max(1, ticks - 1))
      const x = left + ((index - first + 0.5) / (end - first)) * width
      const last = tick === ticks - 1 && ticks > 1
      context.textAlign = last ? 'right' : tick === 0 && ticks > 1 ? 'left' : 'center'
      context.fillText(`${tick === 0 ? across.axis : ''}${shown.steps[index] ?? ''}`, last ? left + width : tick === 0 && ticks > 1 ? left : x, height + 6)
    }
  }

  function drawCursor(): void {
    const context = over.getContext('2d')
    if (context === null || cells === null) return
    const ratio = devicePixelRatio || 1
    const { left, width, height } = area()
    context.setTransform(ratio, 0, 0, ratio, 0, 0)
    context.clearRect(0, 0, over.width, over.height)
    const wide = width / (end - first)
    const tall = height / cells.rows
    const x = left + (cursor.step - first) * wide
    const y = (cells.rows - 1 - cursor.row) * tall
    if (x + wide < left || x > left + width) return
    for (const [style, extra] of [['#000000', 1.5], ['#ffffff', 0]] as const) {
      context.strokeStyle = style
      context.lineWidth = extra === 0 ? 1.5 : 4
      context.strokeRect(Math.max(left, x), y, Math.max(wide, 3), Math.max(tall, 3))
    }
    context.strokeStyle = '#ffffffaa'
    context.lineWidth = 1
    context.strokeRect(Math.max(left, x), 0, Math.max(wide, 1), height)
  }

  function move(step: number, row: number, tell: boolean): void {
    if (cells === null) return
    cursor = { step: clamp(step, 0, cells.steps.length - 1), row: clamp(row, 0, cells.rows - 1) }
    if (cursor.step < first || cursor.step >= end) zoom(cursor.step, 1)
    else drawCursor()
    if (tell) picked(cursor.step, cursor.row)
  }

  function zoom(around: number, factor: number): void {
    if (cells === null) return
    const count = cells.steps.length
    const size = clamp(Math.round((end - first) * factor), Math.min(8, count), count)
    const share = end > first ? (around - first) / (end - first) : 0.5
    const inside = share >= 0 && share <= 1 ? share : 0.5
    first = clamp(Math.round(around - inside * size), 0, count - size)
    end = first + size
    following = size === count
    draw()
  }

  function tellEnds(unit: string): void {
    ends[0].textContent = bound(low, unit)
    ends[1].textContent = bound(high, unit)
  }

  const at = (event: MouseEvent): [number, number] => {
    const box = stage.getBoundingClientRect()
    const { left, width, height } = area()
    const rows = cells?.rows ?? 1
    const step = first + Math.floor(((event.clientX - box.left - left) / width) * (end - first))
    return [step, rows - 1 - Math.floor(((event.clientY - box.top) / height) * rows)]
  }
  stage.addEventListener('pointerdown', (event) => {
    dragged = event.shiftKey ? at(event)[0] : null
    move(...at(event), true)
  })
  stage.addEventListener('pointermove', (event) => {
    if (event.movementX === 0 && event.movementY === 0) return // the page scrolled under a mouse that rests
    if (dragged === null && (event.pointerType === 'mouse' || event.buttons > 0)) move(...at(event), true)
  })
  stage.addEventListener('pointerup', (event) => {
    if (dragged !== null && cells !== null) {
      const [from, to] = [dragged, at(event)[0]].sort((a, b) => a - b) as [number, number]
      if (to - from >= 4) {
        first = clamp(from, 0, cells.steps.length - 1)
        end = clamp(to + 1, first + 1, cells.steps.length)
        following = false
        draw()
      }
    }
    dragged = null
  })
  stage.addEventListener('dblclick', () => zoom(cursor.step, Infinity))
  stage.addEventListener(
    'wheel',
    (event) => {
      if (!event.ctrlKey && !event.shiftKey) return // a plain wheel scrolls the page
      event.preventDefault()
      zoom(at(event)[0], (event.deltaY || event.deltaX) > 0 ? 1.25 : 0.8)
    },
    { passive: false },
  )
  stage.addEventListener('keydown', (event) => {
    const far = event.shiftKey ? 10 : 1
    const moves: Record<string, [number, number]> = { ArrowLeft: [-far, 0], ArrowRight: [far, 0], ArrowUp: [0, far], ArrowDown: [0, -far] }
    const found = moves[event.key]
    if (found !== undefined) move(cursor.step + found[0], cursor.row + found[1], true)
    else if (event.key === 'Home') move(0, cursor.row, true)
    else if (event.key === 'End') move(Infinity, cursor.row, true)
    else if (event.key === '+') zoom(cursor.step, 0.5)
    else if (event.key === '-') zoom(cursor.step, 2)
    else return
    event.preventDefault()
  })
  const buttons = el(
    'div',
    { class: 'buttons' },
    el('button', { type: 'button', onclick: () => zoom(cursor.step, 0.5) }, 'Zoom in'),
    el('button', { type: 'button', onclick: () => zoom(cursor.step, 2) }, 'Zoom out'),
    el('button', { type: 'button', onclick: () => zoom(cursor.step, Infinity) }, across.whole),
  )
  const element = el('div', { class: 'heatmap' }, stage, el('div', { class: 'row' }, legend, buttons))
  new ResizeObserver(draw).observe(stage)
  onDress(element, draw)

  return {
    element,
    show(next, span) {
      const whole = cells === null || following || cells.series !== next.series
      cells = next
      ;[low, high] = span
      if (whole || end > next.steps.length) [first, end, following] = [0, next.steps.length, true]
      stage.style.height = `${clamp(next.rows * 22, 180, 420) + BOTTOM}px`
      cursor = { step: clamp(cursor.step, 0, next.steps.length - 1), row: clamp(cursor.row, 0, next.rows - 1) }
      tellEnds(next.unit)
      draw()
    },
    rescale(span) {
      ;[low, high] = span
      tellEnds(cells?.unit ?? '')
      draw()
    },
    pick: (step, row) => move(step, row, false),
  }
}

/** Kept in memory: what lies on a graphics card would be missing in print. */
function paper(canvas: HTMLCanvasElement): CanvasRenderingContext2D | null {
  return canvas.getContext('2d', { willReadFrequently: true })
}

function bound(code: number, unit: string): string {
  const value = magnitude(code) ?? 0
  const shown = value < 1e-3 || value >= 1e4 ? power(Math.round(Math.log10(value))) : words(value, 2)
  return `${shown} ${unit}`
}

const clamp = (value: number, low: number, high: number): number => Math.min(Math.max(value, low), Math.max(low, high))

/** Paint cells into `columns` columns: each is the mean logarithm of its steps; one cell that is not finite shows, and zero is a hole. */
function imageOf(cells: Cells, [first, end]: Span, columns: number, [low, high]: Span, missing: number): ImageData {
  const { rows, codes } = cells
  const image = new ImageData(columns, rows)
  const pixels = new Uint32Array(image.data.buffer)
  const factor = 255 / (high - low)
  for (let column = 0; column < columns; column++) {
    const from = first + Math.floor(((end - first) * column) / columns)
    const to = Math.max(from + 1, first + Math.floor(((end - first) * (column + 1)) / columns))
    for (let row = 0; row < rows; row++) {
      let [sum, count, zero, broken] = [0, 0, false, false]
      for (let place = from * rows + row; place < to * rows; place += rows) {
        const code = codes[place] ?? MISSING
        if (code > ZERO && code < INFINITE) {
          sum += code
          count++
        } else if (code === ZERO) zero = true
        else if (code === INFINITE) broken = true
      }
      const shade = Math.min(Math.max((sum / count - low) * factor, 0), 255)
      const found = broken ? NOT_FINITE : count > 0 ? (SCALE[Math.round(shade)] ?? 0) : zero ? 0 : missing
      pixels[(rows - 1 - row) * columns + column] = found
    }
  }
  return image
}

function paintScale(canvas: HTMLCanvasElement): void {
  const image = new ImageData(256, 1)
  new Uint32Array(image.data.buffer).set(SCALE)
  canvas.getContext('2d')?.putImageData(image, 0, 0)
}

