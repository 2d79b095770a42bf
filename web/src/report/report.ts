// The report: the verdict first, then the profile, the budget, the course, the units, findings, trials, the tree.
import { shared } from '../charts/scale'
import { el, section } from '../element'
import { dressOf, type Network, type Report } from '../view'
import { words } from '../words'
import { budgetSection } from './budget'
import { course, type Course, fill } from './course'
import { findingsSection, notesSection } from './findings'
import { magnitudesSection } from './magnitudes'
import { profileSection } from './profile'
import { type Tree, tree } from './tree'
import { trialsSection } from './trials'
import { unitsSection } from './units'

/** Build the report; the heat maps appear as soon as they are unpacked. */
export function report(data: Report): HTMLElement {
  const networks = data.runs
  const several = networks.length > 1
  const trees: Tree[] = networks.flatMap((network) => tree(network, several) ?? [])
  const treeOf = new Map(networks.filter((n) => n.sites.length > 0).map((network, i) => [network, trees[i]]))
  const go = (network: Network) => (site: string): void => void treeOf.get(network)?.go(site)
  const first = networks[0]
  const sections = [
    ...networks.slice(0, 1).map((network) => findingsSection(network, go(network), several)),
    profileSection(networks),
    budgetSection(networks),
    coursesSection(networks),
    magnitudesSection(networks),
    unitsSection(networks),
    data.treatment !== null && data.treatment.trials.length > 0 && trialsSection(data.treatment),
    ...networks.slice(1).map((network) => findingsSection(network, go(network), true)),
    ...trees.map((made) => made.element),
    notesSection(networks, data.treatment?.notes ?? []),
  ].filter((part): part is HTMLElement => part !== null && part !== false)
  return el(
    'main',
    { id: 'main', tabindex: -1 },
    el('div', { class: 'columns verdicts' }, ...networks.map((network, i) => verdict(network, several, i === 0))),
    contents(sections),
    ...sections,
    first !== undefined && Object.keys(first.facts).length > 0 && el('footer', { class: 'dim' }, Object.entries(first.facts).map(([name, value]) => `${name} ${value}`).join(' · ')),
  )
}

/** What the page holds, to jump to. */
function contents(sections: HTMLElement[]): HTMLElement | null {
  const heads = sections.flatMap((part) => part.querySelector('h2') ?? [])
  if (heads.length < 3) return null
  return el('nav', { class: 'contents', 'aria-label': 'On this page' }, ...heads.map((head) => el('a', { href: `#${head.id}` }, head.textContent)))
}

function verdict(network: Network, several: boolean, main: boolean): HTMLElement {
  const text = [network.model, network.sites.length > 0 ? `${network.sites.length} operations` : '', network.optimizer, network.loss === null ? '' : `loss ${words(network.loss)}`]
  return el(
    'div',
    { class: 'verdict' },
    several && el('p', { class: 'dim' }, network.title),
    el(main ? 'h1' : 'h2', { class: dressOf(network) }, network.verdict),
    el('p', { class: 'dim' }, text.filter((part) => part !== '').join(' · ')),
  )
}

/** Heat maps of all networks that have a course; cursors move together. */
export function coursesSection(networks: Network[]): HTMLElement | null {
  const shown = networks.filter((network) => network.heats.length > 0)
  if (shown.length === 0) return null
  const scale = shared()
  const courses: Course[] = shown.map((network, own) => course(network.title, (step) => courses.forEach((other, i) => i !== own && other.pick(step)), scale))
  shown.forEach((network, i) => void fill(courses[i] as Course, network))
  return section(
    'Layers by steps',
    `The loss is above, the input below; each column is one reading. Dark is little${shown.length > 1 ? '; the same colour is the same number in all of them' : ''}. Move over it, or use the arrow keys; shift and drag to zoom into a stretch.`,
    el('div', { class: 'columns' }, ...courses.map((view, i) => el('div', {}, shown.length > 1 && el('h3', {}, shown[i]?.title ?? ''), view.element))),
  )
}
