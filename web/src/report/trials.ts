// Trials: what was tried against the untreated control, the losses, the verdict, the patch.
import { lines, type Line } from '../charts/lines'
import { el, section, table } from '../element'
import { positive, type Treatment } from '../view'
import { words } from '../words'

const COLOURS = ['b', 'd', 'e', 'f', 'dim'] // the chosen one has c

function smooth(losses: (number | null)[], window = 10): (number | null)[] {
  return losses.map((_, i) => {
    const some = losses.slice(Math.max(0, i - window + 1), i + 1).filter((v): v is number => v !== null)
    return some.length > 0 ? some.reduce((a, b) => a + b, 0) / some.length : null
  })
}

/** The section of a treatment. */
export function trialsSection(treatment: Treatment): HTMLElement {
  let next = 0
  const tried = treatment.trials.filter((trial) => trial.losses.length > 1)
  const longest = Math.max(0, ...tried.map((trial) => trial.losses.length))
  const drawn: Line[] = tried.map((trial) => {
    const values = smooth(trial.losses.map((loss) => positive(loss)))
    const padded = Array.from({ length: longest }, (_, i) => values[i] ?? null)
    if (trial.outcome === 'control') return { label: 'untreated', values: padded, colour: 'a', width: 2.5 }
    const own = trial.remedy === treatment.remedy ? 'c' : (COLOURS[next++ % COLOURS.length] ?? 'b')
    if (trial.outcome === 'accepted') return { label: trial.remedy, values: padded, colour: own, width: trial.remedy === treatment.remedy ? 3 : 1.5 }
    return { label: `${trial.remedy} (${trial.outcome})`, values: padded, colour: own, width: 1, dash: true }
  })
  const seen = drawn.flatMap((line) => line.values.filter((value) => value !== null))
  const wide = Math.max(...seen) > 20 * Math.min(...seen) // one that shot up would hide the others
  const rows = treatment.trials.map((trial) => [
    el('span', { class: trial.remedy === treatment.remedy ? 'good' : '' }, trial.remedy),
    trial.remedy !== treatment.remedy ? trial.outcome : el('span', { class: 'good' }, `${trial.outcome}, chosen`),
    words(trial.held_back_loss),
    trial.reached === null ? '' : `${trial.reached} of ${trial.layers ?? '?'}`,
    [trial.reason, ...trial.effects].join('; '),
  ])
  return section(
    'Trials',
    treatment.remedy === '' ? 'Nothing that was tried cured the network.' : `Chosen: ${treatment.remedy}, of what was accepted the smallest change whose loss comes near the best. Each trial has the same data, seeds and steps as the untreated control.`,
    drawn.length > 0 && lines({ label: 'Training loss of every trial', x: Array.from({ length: longest }, (_, i) => i), lines: drawn, xLabel: 'training step', yLabel: 'training loss, mean of ten', logarithmic: wide, named: (x) => `step ${x}` }).element,
    table('All trials', ['remedy', 'verdict', 'held-back loss', 'reaches', 'why'], rows, [1, 3, 4]),
    treatment.patch !== '' && el('div', {}, el('h3', {}, 'Patch'), el('pre', { tabindex: 0, role: 'group', 'aria-label': 'Patch' }, treatment.patch)),
    treatment.patch === '' && treatment.patched_lines > 0 && el('p', { class: 'dim' }, `A patch of ${treatment.patched_lines} lines belongs to it; a report carries source code only when asked (--with-source).`),
    treatment.paste !== '' && el('div', {}, el('h3', {}, 'Lines to paste'), el('pre', { tabindex: 0, role: 'group', 'aria-label': 'Lines to paste' }, treatment.paste)),
  )
}
