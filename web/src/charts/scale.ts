// One colour scale for tables that stand beside each other: the same colour is the same number in all of them.

export type Span = [number, number]

export interface Shared {
  /** Tell what `owner` shows now, and get the span that everybody who shows the same draws with. */
  span(owner: object, key: string, own: Span, redraw: (span: Span) => void): Span
  leave(owner: object): void
}

/** Make a scale to be shared. */
export function shared(): Shared {
  const members = new Map<object, { key: string; own: Span; drawn: Span; redraw: (span: Span) => void }>()

  function union(key: string): Span {
    const spans = [...members.values()].filter((member) => member.key === key).map((member) => member.own)
    return [Math.min(...spans.map(([low]) => low)), Math.max(...spans.map(([, high]) => high))]
  }

  function tell(but: object | null): void {
    for (const [owner, member] of members) {
      const [low, high] = union(member.key)
      if (owner === but || (member.drawn[0] === low && member.drawn[1] === high)) continue
      member.drawn = [low, high]
      member.redraw([low, high])
    }
  }

  return {
    span(owner, key, own, redraw) {
      members.set(owner, { key, own, drawn: own, redraw })
      const found = union(key)
      members.set(owner, { key, own, drawn: found, redraw })
      tell(owner)
      return found
    },
    leave(owner) {
      if (members.delete(owner)) tell(null)
    },
  }
}
