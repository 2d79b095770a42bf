// The page: a report, the dashboard or the lessons, as the data in it say.
import './style.css'
import { dress } from './charts/colours'
import { choice, el } from './element'
import { report } from './report/report'
import type { Data } from './view'

function data(): Data {
  const text = document.getElementById('photic-data')?.textContent ?? ''
  return JSON.parse(text) as Data
}

function header(about: string): HTMLElement {
  const said = choice('Colours', [['auto', 'as the system'], ['light', 'light'], ['dark', 'dark']], 'auto', (value) => dress(value as 'auto'))
  return el('header', { class: 'top' }, el('a', { class: 'skip', href: '#main' }, 'To the content'), el('p', { class: 'brand' }, 'photic', el('span', { class: 'dim' }, ` · ${about}`)), said)
}

function main(): void {
  const given = data()
  const page = document.getElementById('page')
  if (page === null) return
  if (given.mode === 'report') {
    document.title = `${given.runs[0]?.verdict ?? 'report'} · photic`
    page.replaceChildren(header('how deep the gradient reaches'), report(given))
  } else {
    page.replaceChildren(header('no data'), el('main', { id: 'main', tabindex: -1 }, el('h1', {}, 'There is nothing in this page.')))
  }
}

main()
