// Where answers come from: the server, or, in an exported page, the page itself.
import { ask } from '../api'

let kept: Record<string, unknown> | null = null

/** Take the answers from the page: it was exported and has no server. */
export function useKept(answers: Record<string, unknown>): void {
  kept = answers
}

export const exported = (): boolean => kept !== null

/** The words of a question, in one order, so that the same question has the same words. */
export function query(kind: string, params: Record<string, string | number | boolean>): string {
  const words = Object.keys(params)
    .sort()
    .map((name) => `${name}=${encodeURIComponent(String(params[name]))}`)
  return words.length > 0 ? `${kind}?${words.join('&')}` : kind
}

/** Ask a question about real networks. */
export async function question<T>(kind: string, params: Record<string, string | number | boolean> = {}): Promise<T> {
  const words = query(kind, params)
  if (kept === null) return ask<T>(`/api/learn/${words}`)
  const found = kept[words]
  if (found === undefined) throw new Error('This page was exported with a choice of answers, and this one is not among them. `photic learn` answers every question.')
  return found as T
}

/** Whether an exported page has the answer; a server always has. */
export const answered = (kind: string, params: Record<string, string | number | boolean>): boolean => kept === null || query(kind, params) in kept

/**
 * Ask for the last of several calls that come quickly after each other, show its answer, and say what went wrong.
 * Answers may overtake each other: one that was asked before the last is not shown.
 */
export function lately<T>(ask: () => Promise<T>, show: (found: T) => void, failed: (message: string) => void): () => void {
  let [waiting, last] = [0, 0]
  const fail = (error: unknown): void => failed(error instanceof Error ? error.message : String(error))
  return () => {
    clearTimeout(waiting)
    const own = ++last
    waiting = window.setTimeout(() => {
      void ask()
        .then((found) => {
          if (own !== last) return
          failed('')
          show(found)
        })
        .catch((error: unknown) => own === last && fail(error))
    }, 30)
  }
}
