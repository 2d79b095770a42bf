// Findings, linked to their places; what could not be asked or seen; notes.
import { el, section } from '../element'
import type { Finding, Network } from '../view'
import { percent, tail, words } from '../words'

declare const SOURCES: Record<string, string> // from references.bib, put in while building

const SAID = { info: 'information', warning: 'warning', critical: 'critical' }

/** One finding. `go` shows a place in the tree of operations. */
export function findingCard(finding: Finding, go: ((site: string) => void) | null): HTMLElement {
  const link = (site: string): HTMLElement =>
    go === null ? el('code', {}, tail(site, 40)) : el('button', { type: 'button', class: 'link', onclick: () => go(site) }, tail(site || '(root)', 40))
  const places = (sites: string[]): (HTMLElement | string)[] => [...sites.slice(0, 6).flatMap((site, i) => (i > 0 ? [', ', link(site)] : [link(site)])), sites.length > 6 ? ` and ${sites.length - 6} more` : '']
  return el(
    'article',
    { class: `finding ${finding.severity}` },
    el('h3', {}, finding.problem),
    el('p', { class: 'dim' }, `${SAID[finding.severity]} · confidence ${percent(finding.confidence, 0)}${finding.where === '' ? '' : ` · ${finding.where}`}`),
    el('p', {}, finding.reason),
    el('p', {}, el('strong', {}, 'Do: '), finding.advice),
    finding.sites.length > 0 && el('p', {}, 'Cause: ', ...places(finding.sites)),
    finding.victims.length > 0 && el('p', { class: 'dim' }, 'Suffering: ', ...places(finding.victims)),
    finding.evidence.length > 0 && el('ul', { class: 'dim evidence' }, ...finding.evidence.map((e) => el('li', {}, `${e.name}: ${words(e.value)} ${e.unit}`))),
    finding.sources.length > 0 && el('p', { class: 'dim' }, `Sources: ${finding.sources.map((key) => SOURCES[key] ?? key).join('; ')}`),
  )
}

/** The section of all findings of a network. */
export function findingsSection(network: Network, go: (site: string) => void, several: boolean): HTMLElement | null {
  if (network.findings.length === 0) return null
  return section(`Findings${several ? `: ${network.title}` : ''}`, '', el('div', { class: 'cards' }, ...network.findings.map((finding) => findingCard(finding, go))))
}

/** What the reader must know besides. */
export function notesSection(networks: Network[], further: string[]): HTMLElement | null {
  const notes = [...new Set([...networks.flatMap((n) => n.notes), ...further])]
  const unseen = [...new Set(networks.flatMap((n) => n.unseen))]
  const assumed = [...new Set(networks.flatMap((n) => n.assumptions))]
  const missing = networks.flatMap((n) => n.not_asked.map((item) => `${item.problem}: ${item.missing}`))
  const list = (title: string, items: string[]): HTMLElement | false => items.length > 0 && el('details', {}, el('summary', {}, `${title} (${items.length})`), el('ul', {}, ...items.map((item) => el('li', {}, item))))
  if (notes.length + unseen.length + missing.length + assumed.length === 0) return null
  return section(
    'Notes',
    '',
    notes.length > 0 && el('ul', {}, ...notes.map((note) => el('li', {}, note))),
    list('What could not be seen', unseen),
    list('What could not be asked', [...new Set(missing)]),
    list('What theory assumes', assumed),
  )
}
