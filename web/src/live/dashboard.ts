// The dashboard: the runs of a folder, filtered; those that are chosen beside each other; the running ones followed.
import { ask } from '../api'
import { shared } from '../charts/scale'
import { choice, el } from '../element'
import { panel, type Panel } from './panel'

export interface Entry {
  id: string
  name: string
  model: string
  verdict: string
  healthy: boolean
  running: boolean
  changed: number
  live: boolean
}

const EACH = 2000

/** Build the dashboard of a folder. */
export function dashboard(folder: string): HTMLElement {
  let entries: Entry[] = []
  let chosen: string[] = []
  let follow = true
  let wanted = ''
  let kind = 'all'
  const panels = new Map<string, Panel>()
  const scale = shared()
  const search = el('input', { type: 'search', placeholder: 'name, model or finding', oninput: () => ((wanted = search.value.toLowerCase()), list()) })
  const newest = el('input', { type: 'checkbox', checked: true, onchange: () => (follow = newest.checked) })
  const rows = el('ul', { class: 'runs' })
  const status = el('p', { class: 'dim', role: 'status' }, 'looking for runs …')
  const stage = el('div', { class: 'columns panels' })

  function choose(id: string, beside: boolean): void {
    follow = newest.checked = false
    chosen = beside ? (chosen.includes(id) ? chosen.filter((one) => one !== id) : [...chosen, id].slice(-4)) : [id]
    show()
  }

  function show(): void {
    for (const [id, one] of panels) {
      if (chosen.includes(id)) continue
      one.close()
      panels.delete(id)
    }
    for (const id of chosen) {
      const entry = entries.find((one) => one.id === id)
      if (entry !== undefined && !panels.has(id)) panels.set(id, panel(entry, (step) => panels.forEach((other, own) => own !== id && other.pick(step)), scale))
    }
    stage.replaceChildren(...chosen.flatMap((id) => panels.get(id)?.element ?? []))
    list()
  }

  function list(): void {
    const shown = entries.filter(
      (one) =>
        `${one.name} ${one.model} ${one.verdict}`.toLowerCase().includes(wanted) &&
        (kind === 'all' || (kind === 'running' ? one.running : kind === 'sick' ? !one.healthy : one.healthy)),
    )
    const focused = (document.activeElement as HTMLElement | null)?.dataset['key']
    rows.replaceChildren(...shown.map((one) => row(one)))
    if (focused !== undefined) rows.querySelector<HTMLElement>(`[data-key="${CSS.escape(focused)}"]`)?.focus()
    const said = entries.length === 0 ? `no runs in ${folder || 'this folder'} yet; start one with: photic run train.py` : `${shown.length} of ${entries.length} runs, ${entries.filter((one) => one.running).length} running`
    if (status.textContent !== said) status.textContent = said
  }

  function row(one: Entry): HTMLElement {
    const open = chosen.includes(one.id)
    return el(
      'li',
      { class: open ? 'open' : '' },
      el('button', { type: 'button', class: 'run', 'data-key': one.id, 'aria-pressed': String(open), onclick: () => choose(one.id, false) }, el('span', { class: one.running ? 'dot running' : one.healthy ? 'dot healthy' : 'dot sick', 'aria-hidden': 'true' }), one.name),
      el('button', { type: 'button', class: 'small', 'data-key': `${one.id} beside`, 'aria-label': `${open ? 'Remove' : 'Compare'} ${one.name}`, onclick: () => choose(one.id, true) }, open ? 'Remove' : 'Compare'),
      el('span', { class: 'dim' }, `${one.running ? 'running · ' : ''}${one.model} · ${one.verdict} · ${ago(one.changed)}`),
    )
  }

  async function refresh(): Promise<void> {
    try {
      entries = await ask<Entry[]>('/api/runs')
      for (const one of entries) panels.get(one.id)?.update(one)
      const first = entries.find((one) => one.running) ?? entries[0]
      if (follow && first !== undefined && chosen[0] !== first.id) {
        chosen = [first.id]
        show()
      } else list()
    } catch {
      status.textContent = 'the server does not answer; is `photic serve` still running?'
    }
    setTimeout(() => void refresh(), EACH)
  }
  void refresh()
  return el(
    'main',
    { id: 'main', tabindex: -1, class: 'dashboard' },
    el(
      'aside',
      { 'aria-label': 'Runs' },
      el('h1', {}, 'Runs'),
      el('label', { class: 'knob' }, el('span', {}, 'Filter'), search),
      choice('Show', [['all', 'all'], ['running', 'running'], ['sick', 'with findings'], ['healthy', 'healthy']], 'all', (value) => ((kind = value), list())),
      el('label', { class: 'knob' }, newest, el('span', {}, 'follow the newest run')),
      status,
      rows,
    ),
    stage,
  )
}

function ago(changed: number): string {
  const seconds = Math.max(0, Date.now() / 1000 - changed)
  if (seconds < 60) return 'just now'
  if (seconds < 3600) return `${Math.round(seconds / 60)} min ago`
  return seconds < 86400 ? `${Math.round(seconds / 3600)} h ago` : `${Math.round(seconds / 86400)} days ago`
}
