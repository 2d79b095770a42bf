// The page: a report, the dashboard or the lessons, as the data in it say.
import './style.css'
import { dress } from './charts/colours'
import { choice, el } from './element'
import { dashboard } from './live/dashboard'
import { learn } from './learn/learn'
import { useKept } from './learn/source'
import { report } from './report/report'
import type { Data } from './view'

function data(): Data {
  const text = document.getElementById('photic-data')?.textContent ?? ''
  return JSON.parse(text) as Data
}

const served = location.protocol.startsWith('http')

function header(about: string, links = false): HTMLElement {
  const said = choice('Colours', [['auto', 'as the system'], ['light', 'light'], ['dark', 'dark']], 'auto', (value) => dress(value as 'auto'))
  return el('header', { class: 'top' }, el('a', { class: 'skip', href: '#main' }, 'To the content'), el('p', { class: 'brand' }, 'photic', el('span', { class: 'dim' }, ` · ${about}`)), links && el('nav', { 'aria-label': 'Pages' }, el('a', { href: '/' }, 'Runs'), el('a', { href: '/learn' }, 'Learn')), said)
}

function main(): void {
  const given = data()
  const page = document.getElementById('page')
  if (page === null) return
  if (given.mode === 'report') {
    document.title = `${given.runs[0]?.verdict ?? 'report'} · photic`
    page.replaceChildren(header('how deep the gradient reaches', served), report(given))
  } else if (given.mode === 'live') {
    document.title = 'Runs · photic'
    page.replaceChildren(header('runs', served), dashboard(given.folder))
  } else if (given.mode === 'learn') {
    if (given.answers !== undefined) useKept(given.answers)
    page.replaceChildren(header('learn', served && given.answers === undefined), learn())
  } else {
    page.replaceChildren(header('no data'), el('main', { id: 'main', tabindex: -1 }, el('h1', {}, 'There is nothing in this page.')))
  }
}

main()
