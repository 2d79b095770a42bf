// Elements from plain values. Text is always text: nothing here or elsewhere parses HTML.

export type Child = Node | string | number | null | undefined | false
type Attributes = Record<string, string | number | boolean | EventListener | undefined>

/** Make an element; attributes that start with `on` are listeners, false and undefined are left out. */
export function el<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'function') made.addEventListener(name.slice(2), value)
    else if (value === true) made.setAttribute(name, '')
    else if (value !== undefined && value !== false) made.setAttribute(name, String(value))
  }
  append(made, children)
  return made
}

/** Make an SVG element. */
export function svg(tag: string, attributes: Record<string, string | number> = {}, ...children: Child[]): SVGElement {
  const made = document.createElementNS('http://www.w3.org/2000/svg', tag)
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value))
  append(made, children)
  return made
}

function append(parent: Element, children: Child[]): void {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue
    parent.append(typeof child === 'number' ? String(child) : child)
  }
}

let made = 0

/** A section with a heading that names it; `about` is one sentence under the heading. */
export function section(title: string, about: string, ...children: Child[]): HTMLElement {
  const id = `section-${made++}`
  const heading = el('h2', { id }, title)
  return el('section', { 'aria-labelledby': id }, heading, about !== '' && el('p', { class: 'dim' }, about), ...children)
}

/** A table that scrolls sideways by itself, also by keyboard. Cells from the second on are numbers, but for columns of `texts`. */
export function table(caption: string, head: string[], rows: Child[][], texts: number[] = []): HTMLElement {
  const kind = (index: number): Attributes => (index === 0 ? {} : { class: texts.includes(index) ? (index === head.length - 1 ? 'text' : 't') : 'n' })
  return el(
    'div',
    { class: 'scroll', tabindex: 0, role: 'group', 'aria-label': caption },
    el(
      'table',
      {},
      el('thead', {}, el('tr', {}, ...head.map((text, i) => el('th', { scope: 'col', ...kind(i) }, text)))),
      el('tbody', {}, ...rows.map((cells) => el('tr', {}, ...cells.map((cell, i) => el('td', kind(i), cell))))),
    ),
  )
}

/** A select with a visible label. */
export function choice(label: string, options: [string, string][], value: string, changed: (value: string) => void): HTMLElement {
  const select = el('select', { onchange: () => changed(select.value) }) as HTMLSelectElement
  for (const [key, text] of options) select.append(el('option', { value: key, selected: key === value }, text))
  return el('label', { class: 'knob' }, el('span', {}, label), select)
}

/** A range input with a label and its value in words. */
export function slider(
  label: string,
  range: { low: number; high: number; value: number; step?: number },
  words: (value: number) => string,
  changed: (value: number) => void,
): { element: HTMLElement; set(value: number, high?: number): void } {
  const output = el('output', {}, words(range.value))
  const input = el('input', { type: 'range', min: range.low, max: range.high, step: range.step ?? 1, value: range.value })
  const tell = (): void => {
    output.textContent = words(input.valueAsNumber)
    input.setAttribute('aria-valuetext', output.textContent)
  }
  input.addEventListener('input', () => {
    tell()
    changed(input.valueAsNumber)
  })
  tell()
  return {
    element: el('label', { class: 'knob' }, el('span', {}, label), input, output),
    set(value, high) {
      if (high !== undefined) input.max = String(high)
      input.value = String(value)
      tell()
    },
  }
}
