// Colours: cividis for magnitudes (perceptually ordered, the same for the colour-blind), and the page's own by name.
// cividis is from J. R. Nuñez, C. R. Anderton, R. S. Renslow, PLoS ONE 13(7), 2018; 33 of its stops.
const STOPS =
  '00224e00285b002e6a0533711a386f273e6e32436d3b496c434e6c4b546c535a6d5a5f6e61656f686a716f70737676767d7c788482798c8878938e789b9476a39a74aba072b4a76fbcae6cc4b468cdbb63d5c25edec958e7d150f0d846f9e03afee838'

/** 256 colours as 0xAABBGGRR, the byte order of image data. */
export const SCALE = makeScale()
export const NOT_FINITE = 0xff_7a_00_d6 // a magenta that no other cell has

/** A pattern that no shade of the scale can be taken for: what is exactly zero. */
export function hatching(context: CanvasRenderingContext2D): CanvasPattern | string {
  const tile = document.createElement('canvas')
  tile.width = tile.height = 8
  const paper = tile.getContext('2d')
  if (paper === null) return '#ffffff'
  paper.fillStyle = '#ffffff'
  paper.fillRect(0, 0, 8, 8)
  paper.strokeStyle = '#3a4047'
  paper.lineWidth = 2
  for (const from of [-8, 0, 8]) {
    paper.moveTo(from - 1, 9)
    paper.lineTo(from + 9, -1)
  }
  paper.stroke()
  return context.createPattern(tile, 'repeat') ?? '#ffffff'
}

/** One of the page's colours as 0xAABBGGRR. */
export function pixel(name: string): number {
  const found = Number.parseInt(colour(name).slice(1), 16)
  return ((255 << 24) | ((found & 255) << 16) | (found & 0xff00) | (found >> 16)) >>> 0
}

function makeScale(): Uint32Array {
  const stops = STOPS.match(/../g)?.map((pair) => Number.parseInt(pair, 16)) ?? []
  const count = stops.length / 3 - 1
  return Uint32Array.from({ length: 256 }, (_, index) => {
    const place = (index / 255) * count
    const low = Math.min(Math.floor(place), count - 1)
    const channel = (which: number): number => {
      const a = stops[3 * low + which] ?? 0
      const b = stops[3 * low + 3 + which] ?? 0
      return Math.round(a + (b - a) * (place - low))
    }
    return ((255 << 24) | (channel(2) << 16) | (channel(1) << 8) | channel(0)) >>> 0
  })
}

/** The value of one of the page's colours, in the dress it wears now. */
export function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim()
}

/** The same colour, see-through; the page's colours are written as #rrggbb. */
export function faint(name: string, share: number): string {
  const found = colour(name)
  return found + Math.round(255 * share).toString(16).padStart(2, '0')
}

const redraw = new Set<() => void>()

/** Call `draw` whenever the page changes its dress, until the element has left the page. */
export function onDress(element: Element, draw: () => void): void {
  const call = (): void => {
    if (element.isConnected) draw()
    else redraw.delete(call)
  }
  redraw.add(call)
}

/** Dress the page light or dark, or as the system says. */
export function dress(choice: 'auto' | 'light' | 'dark'): void {
  document.documentElement.dataset['dress'] = choice
  for (const call of [...redraw]) call()
}

matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
  for (const call of [...redraw]) call()
})
let before: string | null = null
addEventListener('beforeprint', () => {
  before ??= document.documentElement.dataset['dress'] ?? 'auto'
  dress('light')
})
addEventListener('afterprint', () => {
  if (before !== null) dress(before as 'auto')
  before = null
})
