// One run of the dashboard: verdict, course, findings; followed while it is written.
import { ask, listen } from '../api'
import { type Cells, joined, unpack } from '../charts/cells'
import type { Shared } from '../charts/scale'
import { el } from '../element'
import { course } from '../report/course'
import { findingCard } from '../report/findings'
import { type Finding, type Heat, type Network, type Num, number, type Report } from '../view'
import type { Entry } from './dashboard'

export interface Panel {
  element: HTMLElement
  update(entry: Entry): void
  pick(step: number): void
  close(): void
}

interface Rows {
  heats: Heat[]
  losses: Num[]
  loss_steps: number[]
}

/** Show a run; `moved` is told to which step its cursor went; panels with one `scale` are coloured alike. */
export function panel(given: Entry, moved: (step: number) => void, scale: Shared): Panel {
  let entry = given
  let tables = new Map<string, Cells>()
  let steps: number[] | null = []
  let losses: (number | null)[] = []
  let drawing = false
  let stop = (): void => {}
  const title = el('h2', {}, entry.name)
  const said = el('p', { class: 'said' }, entry.verdict)
  const state = el('p', { class: 'dim', role: 'status' })
  const view = course(entry.name, moved, scale)
  const findings = el('div', { class: 'cards' })
  const treated = el('p', { class: 'dim', hidden: true })
  const whole = el('a', { href: `/runs/${entry.id}` }, 'The whole report')
  const element = el('section', { class: 'panel', 'aria-label': `Run ${entry.name}` }, title, said, state, el('p', {}, whole), treated, view.element, findings)

  function draw(): void {
    if (drawing) return
    drawing = true
    requestAnimationFrame(() => {
      drawing = false
      if (tables.size > 0) view.show([...tables.values()])
      view.losses(steps, losses)
      view.element.hidden = tables.size === 0 && losses.length === 0
    })
  }

  function found(list: Finding[]): void {
    findings.replaceChildren(...list.map((finding) => findingCard(finding, null)))
  }

  async function start(network: Network): Promise<void> {
    tables = new Map((await Promise.all(network.heats.map(unpack))).map((table) => [table.series, table]))
    losses = network.losses.map((loss) => number(loss))
    steps = network.loss_steps
    found(network.findings)
    draw()
  }

  // One event after the other: unpacking waits, and rows must not overtake each other.
  let before: Promise<void> = Promise.resolve()
  const inTurn = (work: () => Promise<void>): void => {
    before = before.then(work, work)
  }

  async function add(rows: Rows): Promise<void> {
    for (const newer of await Promise.all(rows.heats.map(unpack))) {
      const old = tables.get(newer.series)
      tables.set(newer.series, old === undefined ? newer : joined(old, newer))
    }
    steps = [...(steps ?? []), ...rows.loss_steps]
    losses = [...losses, ...rows.losses.map((loss) => number(loss))]
    draw()
  }

  function follow(): void {
    stop = listen(
      `/api/runs/${entry.id}/follow`,
      {
        start: (data) => inTurn(() => start(data as Network)),
        rows: (data) => inTurn(() => add(data as Rows)),
        findings: (data) => found(data as Finding[]),
        ended: () => stop(),
      },
      (connected) => (state.textContent = connected ? 'followed live' : 'the connection is lost; trying again …'),
    )
  }

  function show(): void {
    said.textContent = entry.verdict
    said.className = `said ${entry.healthy ? 'good' : 'bad'}`
    if (!entry.running) state.textContent = 'finished'
  }

  async function read(): Promise<void> {
    const report = await ask<Report>(`/api/runs/${entry.id}`)
    const network = report.runs[0]
    if (network !== undefined) inTurn(() => start(network))
    const trials = report.treatment?.trials ?? []
    const accepted = trials.filter((trial) => trial.outcome === 'accepted').map((trial) => trial.remedy)
    treated.textContent = trials.length === 0 ? '' : `Of ${trials.filter((trial) => trial.outcome === 'accepted' || trial.outcome === 'refused').length} remedies that were tried, accepted: ${accepted.join(', ') || 'none'}. Course and findings below are those of the untreated network.`
    treated.hidden = treated.textContent === ''
  }

  show()
  if (entry.live && entry.running) follow()
  else void read().catch(() => (state.textContent = 'this run cannot be read'))
  return {
    element,
    update(next) {
      const ended = entry.running && !next.running
      const begun = !entry.running && next.running
      entry = next
      show()
      if (ended) {
        stop()
        void read().catch(() => {})
      } else if (begun && next.live) follow()
    },
    pick: (step) => view.pick(step),
    close() {
      stop()
      view.leave()
    },
  }
}
