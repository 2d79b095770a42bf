// Our heat map, as the page has it, for the benchmark.
import '../../web/src/style.css'
import { span, unpack } from '../../web/src/charts/cells'
import { heatmap } from '../../web/src/charts/heatmap'

Object.assign(window, { photic: { heatmap, span, unpack } })
