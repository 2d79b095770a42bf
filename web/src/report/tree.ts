// The network as a folded tree: modules with what they do to the gradient, down to single operations.
import { el, section } from '../element'
import { type Block, type Network, number, type Site } from '../view'
import { percent, words } from '../words'

export interface Tree {
  element: HTMLElement
  /** Open the way down to a site and put the focus there; false when it is not in this tree. */
  go(site: string): boolean
}

/** Build the tree of a network; branches are filled when they are opened. */
export function tree(network: Network, several: boolean): Tree | null {
  const sites = network.sites.filter((site) => site.phase === 'model')
  if (sites.length === 0) return null
  const blocks = new Map((network.profile?.blocks ?? []).map((block) => [block.path, block]))
  const spent = (network.profile?.budget ?? []).filter((line) => line.kind !== 'join')
  // Shares of what is lost say something only where no operation raises what others take.
  const plain = spent.every((line) => { const of = number(line.share); return of === null || (of > -0.005 && of < 1.005) })
  const shares = new Map(plain ? spent.map((line) => [line.site, line.share]) : [])
  const opened = new Map<string, HTMLDetailsElement>()
  const leaves = new Map<string, HTMLElement>()
  const children = new Map<string, string[]>()
  const direct = new Map<string, Site[]>()
  for (const site of sites) {
    const inside = site.name.split('/')[0] ?? ''
    const owner = site.name.includes('/') ? inside : parent(inside)
    direct.set(owner, [...(direct.get(owner) ?? []), site])
    for (let path = owner; path !== ''; path = parent(path)) {
      const known = children.get(parent(path)) ?? []
      if (!known.includes(path)) children.set(parent(path), [...known, path])
    }
  }

  function operation(site: Site): HTMLElement {
    const made = el(
      'li',
      { class: 'operation', tabindex: -1 },
      el('span', { class: 'name' }, site.name.split('/').pop() || site.name),
      el('span', { class: 'dim' }, ` ${site.operation}${site.where === '' ? '' : ` · ${site.where}`} · ${site.shape.join(' × ')} · `),
      el('span', { class: 'numbers' }, `signal ${words(site.signal)}, gradient ${words(site.gradient)}, gain ${words(site.gain)}${shares.has(site.name) ? `, share ${percent(shares.get(site.name))}` : ''}`),
    )
    leaves.set(site.name, made)
    return made
  }

  function branch(path: string): HTMLDetailsElement {
    const block: Block | undefined = blocks.get(path)
    const summary = el('summary', {}, el('span', { class: 'name' }, path === '' ? network.model : (path.split('.').pop() ?? path)), block !== undefined && el('span', { class: 'dim' }, ` ${block.operations} operations · gradient × ${words(block.gain)}${plain ? ` · share ${percent(block.gain === null ? null : block.share)}` : ''}`))
    const list = el('ul', {})
    const made = el('details', { class: 'branch' }, summary, list) as HTMLDetailsElement
    const fill = (): void => {
      if (list.childElementCount > 0) return
      for (const child of children.get(path) ?? []) list.append(el('li', {}, branch(child)))
      for (const site of direct.get(path) ?? []) list.append(operation(site))
    }
    made.addEventListener('toggle', fill)
    opened.set(path, made)
    fillers.set(path, fill)
    return made
  }
  const fillers = new Map<string, () => void>()
  const root = branch('')

  function open(path: string): void {
    if (path !== '') open(parent(path))
    fillers.get(path)?.()
    const found = opened.get(path)
    if (found !== undefined) found.open = true
  }
  open('')
  return {
    element: section(`The network${several ? `: ${network.title}` : ''}`, 'Modules with what they do to the gradient; open one to see its operations.', el('div', { class: 'tree' }, root)),
    go(site) {
      const known = sites.find((item) => item.name === site)
      const inside = site.split('/')[0] ?? ''
      open(known !== undefined && !site.includes('/') ? parent(inside) : inside)
      const target = leaves.get(site) ?? opened.get(site)
      if (target === undefined) return false
      target.scrollIntoView({ block: 'center' })
      target.classList.add('shown')
      setTimeout(() => target.classList.remove('shown'), 2500)
      if (target.tagName === 'DETAILS') target.querySelector('summary')?.focus()
      else target.focus({ preventScroll: true })
      return true
    },
  }
}

function parent(path: string): string {
  const dot = path.lastIndexOf('.')
  return dot < 0 ? '' : path.slice(0, dot)
}
