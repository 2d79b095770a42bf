// The depth profile: how much of the gradient arrives at each layer, measured and predicted with its band.
import { type Line, lines, type Chart, type Spec } from '../charts/lines'
import { el, section, table } from '../element'
import { type Network, number, type Profile, positive } from '../view'
import { tail, words } from '../words'

const COLOURS = ['a', 'b', 'c', 'd']

/** The lines of several profiles, one beside the other; predictions of the first two are drawn. `named` puts the layers' names under the axis. */
export function profileSpec(shown: { title: string; profile: Profile }[], height = 320, named = false): Spec {
  const longest = shown.reduce((a, b) => (b.profile.layers.length > a.profile.layers.length ? b : a))
  const layers = longest.profile.layers
  const drawn: Line[] = []
  shown.forEach(({ title, profile }, index) => {
    const name = shown.length > 1 ? `${title}: ` : ''
    const colour = COLOURS[index % COLOURS.length] ?? 'a'
    if (index < 2 && profile.layers.some((layer) => positive(layer.predicted) !== null)) {
      const at = drawn.length
      drawn.push({ label: `${name}low`, values: profile.layers.map((l) => positive(l.low)), colour, silent: true, bandTo: at + 2, width: 0 })
      drawn.push({ label: `${name}high`, values: profile.layers.map((l) => positive(l.high)), colour, silent: true, bandTo: at + 1, width: 0 })
      drawn.push({ label: `${name}predicted`, values: profile.layers.map((l) => positive(l.predicted)), colour: 'dim', dash: true, width: 1.5 })
    }
    drawn.push({ label: `${name}measured`, values: profile.layers.map((l) => positive(l.transport)), colour, points: true, width: 2.5 })
  })
  drawn.push({ label: 'counts as reached', values: layers.map(() => longest.profile.threshold), colour: 'good', dash: true, width: 1 })
  const same = drawn.filter((line) => line.silent !== true || line.bandTo !== undefined)
  return {
    label: 'Depth profile: gradient at each layer relative to the top layer',
    x: layers.map((_, i) => i + 1),
    lines: same.map((line) => ({ ...line, values: layers.map((_, i) => line.values[i] ?? null) })),
    xLabel: 'layer: 1 is next to the input, the last next to the loss',
    yLabel: 'gradient, relative to the top',
    logarithmic: true,
    height: named ? height + 70 : height,
    ticks: (x) => (named ? tail(layers[x - 1]?.site ?? '', 22) : String(x)),
    slanted: named,
    named: (x) => `layer ${x}, ${layers[x - 1]?.site ?? ''}`,
  }
}

/** The mean and deviation of the signal, layer by layer, measured and predicted. */
export function signalSpec(profile: Profile, height = 220): Spec {
  return {
    label: 'Signal at each layer: mean and deviation',
    x: profile.layers.map((_, i) => i + 1),
    lines: [
      { label: 'mean', values: profile.layers.map((l) => number(l.signal_mean)), colour: 'a', points: true },
      { label: 'deviation', values: profile.layers.map((l) => number(l.signal_deviation)), colour: 'b', points: true },
      ...([['mean, predicted', 'predicted_mean', 'a'], ['deviation, predicted', 'predicted_deviation', 'b']] as const).flatMap(([label, name, colour]) =>
        profile.layers.some((l) => number(l[name]) !== null) ? [{ label, values: profile.layers.map((l) => number(l[name])), colour, dash: true, width: 1.5 }] : [],
      ),
    ],
    xLabel: 'layer',
    yLabel: 'signal after the activation',
    height,
    ticks: (x) => String(x),
    named: (x) => `layer ${x}, ${profile.layers[x - 1]?.site ?? ''}`,
  }
}

/** The section with both charts and, folded, the table of layers. */
export function profileSection(networks: Network[]): HTMLElement | null {
  const shown = networks.flatMap((n) => (n.profile === null ? [] : [{ title: n.title, profile: n.profile }]))
  const first = shown[0]
  if (first === undefined) return null
  const last = networks.length === 1 ? networks[0]?.last_profile : null
  const lots = last ? [{ title: `step ${first.profile.step}`, profile: first.profile }, { title: `step ${last.step}`, profile: last }] : shown
  const charts: Chart[] = [lines(profileSpec(lots, 320, true))]
  return section(
    'How deep the gradient reaches',
    'The error gradient starts at the loss, on the right, and must come through to the left. The shaded band is what mean-field theory expects of a network of this width.',
    ...charts.map((chart) => chart.element),
    ...shown.map(({ title, profile }) =>
      el('details', {}, el('summary', {}, `The signal on its way forward: ${title}`), lines(signalSpec(profile)).element)),
    ...shown.map(({ title, profile }) => el('details', {}, el('summary', {}, `All layers in numbers: ${title}`), layerTable(profile, title))),
  )
}

function layerTable(profile: Profile, title: string): HTMLElement {
  const head = ['layer', 'line', 'mean', 'deviation', 'gradient', 'predicted', 'gain of weight', 'gain of activation', 'update / weight', 'reached']
  const rows = profile.layers.map((layer) => [
    el('span', { title: layer.site, 'data-site': layer.site }, tail(layer.site, 40)),
    layer.where,
    words(layer.signal_mean),
    words(layer.signal_deviation),
    words(layer.transport),
    words(layer.predicted),
    words(layer.weight_gain),
    words(layer.activation_gain),
    words(layer.update_ratio, 2),
    el('span', { class: layer.reached ? 'good' : 'bad' }, layer.reached ? 'yes' : 'no'),
  ])
  return table(`Layers of ${title}`, head, rows)
}
