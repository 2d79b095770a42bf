// Asking our own server; in a page without one the answers lie in the page.

/** Ask for JSON; an error carries what the server said. */
export async function ask<T>(path: string): Promise<T> {
  const answer = await fetch(path, { headers: { accept: 'application/json' }, credentials: 'same-origin' })
  if (!answer.ok) throw new Error((await answer.text()).slice(0, 300) || `status ${answer.status}`)
  return (await answer.json()) as T
}

/** Follow a stream of events; returns how to stop. */
export function listen(path: string, handlers: Record<string, (data: unknown) => void>, state: (connected: boolean) => void): () => void {
  const source = new EventSource(path)
  for (const [kind, handle] of Object.entries(handlers)) source.addEventListener(kind, (event) => handle(JSON.parse((event as MessageEvent<string>).data)))
  source.addEventListener('open', () => state(true))
  source.addEventListener('error', () => state(false))
  return () => source.close()
}
