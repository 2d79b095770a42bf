// The page of lessons: a list, one lesson at a time, the next one below.
import { el } from '../element'
import type { Options } from './experiment'
import { LESSONS } from './lessons'
import { exported, question } from './source'

/** Build the lessons; the address names the one that is shown. */
export function learn(): HTMLElement {
  const stage = el('article', { class: 'lesson', 'aria-live': 'off' })
  const list = el('ol', {}, ...LESSONS.map((lesson) => el('li', {}, el('a', { href: `#${lesson.id}` }, lesson.title))))
  let options: Options | null = null

  function show(): void {
    const index = Math.max(0, LESSONS.findIndex((lesson) => `#${lesson.id}` === location.hash))
    const lesson = LESSONS[index]
    if (lesson === undefined) return
    const next = LESSONS[index + 1]
    document.title = `${lesson.title} · photic`
    list.querySelectorAll('a').forEach((link, i) => (i === index ? link.setAttribute('aria-current', 'page') : link.removeAttribute('aria-current')))
    stage.replaceChildren(
      el('h1', {}, lesson.title),
      ...lesson.told.map((text) => el('p', { class: 'text' }, text)),
      lesson.formula === undefined ? '' : el('p', { class: 'formula' }, lesson.formula),
      options === null ? el('p', { class: 'dim', role: 'status' }, 'PyTorch is starting …') : lesson.make(options),
      next === undefined ? '' : el('p', { class: 'next' }, 'Next: ', el('a', { href: `#${next.id}` }, next.title)),
    )
  }

  addEventListener('hashchange', () => {
    show()
    scrollTo(0, 0)
    stage.querySelector<HTMLElement>('h1')?.setAttribute('tabindex', '-1')
    stage.querySelector<HTMLElement>('h1')?.focus({ preventScroll: true })
  })
  show()
  void question<Options>('options').then(
    (found) => {
      options = found
      show()
    },
    () => stage.replaceChildren(el('h1', {}, 'Learn'), el('p', { class: 'bad' }, 'The server does not answer; is `photic learn` still running?')),
  )
  return el(
    'main',
    { id: 'main', tabindex: -1, class: 'dashboard' },
    el('aside', { 'aria-label': 'Lessons' }, el('details', { open: innerWidth > 800 }, el('summary', {}, 'Lessons'), el('nav', { class: 'lessons', 'aria-label': 'Lessons' }, list)), el('p', { class: 'dim' }, exported() ? 'Exported with a choice of answers, all measured in PyTorch. `photic learn` answers every question.' : 'Everything here is measured in PyTorch, now, on this machine.')),
    stage,
  )
}
