// The same heat map by us, by Plotly and by ECharts: how long until it is painted, and how it follows zooming and pointing.
const painted = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))
const median = (all) => [...all].sort((a, b) => a - b)[Math.floor(all.length / 2)]

function fresh() {
  document.body.replaceChildren()
  const stage = document.createElement('div')
  stage.style.width = '1200px'
  stage.style.height = '440px'
  document.body.append(stage)
  return stage
}

/** Several rounds: the median and the best of frames a second, and the time that a call keeps the page busy. */
window.rounds = async ({ rounds, frames, seconds }, work) => {
  const all = []
  for (let i = 0; i < rounds; i++) all.push(await round(frames, seconds / rounds, work))
  const rates = all.map((one) => one.rate)
  return { frames_per_second: median(rates), best: Math.max(...rates), busy_ms: median(all.map((one) => one.busy)) }
}

async function round(count, seconds, work) {
  await painted()
  const busy = []
  const began = performance.now()
  for (let i = 0; i < count && performance.now() - began < 1000 * seconds; i++) {
    await new Promise((done) => requestAnimationFrame(done))
    const before = performance.now()
    await work(i)
    busy.push(performance.now() - before)
  }
  await painted()
  const took = performance.now() - began
  return { rate: (1000 * (busy.length + 1)) / took, busy: median(busy) }
}

const LIBRARIES = {
  photic: {
    async draw(stage, { cells }) {
      const map = photic.heatmap('bench', () => {})
      stage.append(map.element)
      map.show(cells, photic.span(cells))
      const heat = map.element.querySelector('.heat')
      const key = (name) => heat.dispatchEvent(new KeyboardEvent('keydown', { key: name, cancelable: true }))
      return { zoom: (i) => key(i % 14 < 7 ? '+' : '-'), point: (i) => map.pick((i * 37) % cells.steps.length, i % cells.rows) }
    },
  },
  plotly: {
    async draw(stage, { rows, cells }) {
      const layout = { width: 1200, height: 440, margin: { l: 150, r: 0, t: 0, b: 22 } }
      await Plotly.newPlot(stage, [{ type: 'heatmap', z: rows, colorscale: 'Cividis', showscale: false }], layout, { staticPlot: false })
      const count = cells.steps.length
      return {
        zoom: (i) => {
          const half = count / 2 ** (1 + (i % 7))
          return Plotly.relayout(stage, { 'xaxis.range': [count / 2 - half, count / 2 + half] })
        },
        point: (i) => Plotly.Fx.hover(stage, [{ curveNumber: 0, pointNumber: [i % cells.rows, (i * 37) % count] }]),
      }
    },
  },
  echarts: {
    async draw(stage, { triples, low, high, cells }) {
      const chart = echarts.init(stage)
      const whole = new Promise((done) => chart.on('finished', done))
      chart.setOption({
        animation: false,
        tooltip: {},
        grid: { left: 150, right: 0, top: 0, bottom: 22 },
        xAxis: { type: 'category', data: cells.steps },
        yAxis: { type: 'category', data: cells.names },
        dataZoom: [{ type: 'inside' }],
        visualMap: { min: low, max: high, show: false, inRange: { color: ['#00224e', '#7d7c78', '#fee838'] } },
        series: [{ type: 'heatmap', data: triples, progressive: 0 }],
      })
      await whole
      const ended = () => new Promise((done) => { chart.off('finished'); chart.on('finished', done) })
      return {
        zoom: async (i) => {
          const half = 50 / 2 ** (1 + (i % 7))
          const drawn = ended()
          chart.dispatchAction({ type: 'dataZoom', start: 50 - half, end: 50 + half })
          await drawn
        },
        point: (i) => chart.dispatchAction({ type: 'showTip', seriesIndex: 0, dataIndex: (i * 37) % triples.length }),
      }
    },
  },
}

/** The report as it is opened from disk. */
window.report = async (options) => {
  while (!document.querySelector('.course .readout')?.textContent) await new Promise((done) => setTimeout(done, 5))
  await painted()
  const opened_ms = performance.now()
  const heat = document.querySelector('.heat')
  const slider = document.querySelector('.course input[type=range]')
  heat.scrollIntoView()
  const key = (name) => heat.dispatchEvent(new KeyboardEvent('keydown', { key: name, cancelable: true }))
  const zoom = await rounds(options, (i) => key(i % 14 < 7 ? '+' : '-'))
  const scrub = await rounds(options, (i) => {
    slider.value = String((i * 37) % Number(slider.max))
    slider.dispatchEvent(new Event('input', { bubbles: true }))
  })
  return { opened_ms, zoom, scrub }
}

window.bench = async (name, heat, options) => {
  const cells = await photic.unpack(heat)
  const value = (step, row) => (cells.codes[step * cells.rows + row] / 32) * Math.log10(2)
  const given = { cells }
  if (name === 'plotly') given.rows = Array.from({ length: cells.rows }, (_, row) => Array.from(cells.steps, (_, step) => value(step, row)))
  if (name === 'echarts') {
    given.triples = cells.steps.flatMap((_, step) => cells.names.map((_, row) => [step, row, value(step, row)]))
    const all = given.triples.map((triple) => triple[2])
    given.low = all.reduce((a, b) => Math.min(a, b))
    given.high = all.reduce((a, b) => Math.max(a, b))
  }
  const draws = []
  let drawn = null
  const draw = async () => {
    const stage = fresh()
    await painted()
    const began = performance.now()
    drawn = await LIBRARIES[name].draw(stage, given)
    await painted()
    draws.push(performance.now() - began)
  }
  for (let i = 0; i < options.draws; i++) await draw()
  window.again = { draw, zoom: () => rounds({ rounds: 1, frames: 28, seconds: 10 }, drawn.zoom) }
  const zoom = await rounds(options, drawn.zoom)
  const point = await rounds(options, drawn.point)
  return { first_draw_ms: median(draws), best_draw_ms: Math.min(...draws), zoom, point }
}
