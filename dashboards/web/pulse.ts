/** What the collector tells once a second, and whether it still does. One feed for the whole page. */
import { useEffect, useState } from 'preact/hooks'
import type { Flow, Hello, Overview } from './api-types.ts'
import type { ApiFailure } from './collector-api.ts'
import { EventFeed, type FeedState } from './event-feed.ts'

export interface Pulse {
  readonly state: FeedState
  readonly why: ApiFailure | undefined
  /** When it was heard last, Unix ms by the browser's clock. */
  readonly heardAt: number | undefined
  readonly hello: Hello | undefined
  readonly overview: Overview | undefined
  readonly flow: Flow | undefined
}

const nothingYet: Pulse = {
  state: 'connecting',
  why: undefined,
  heardAt: undefined,
  hello: undefined,
  overview: undefined,
  flow: undefined,
}

/** @param session - A change opens the feed anew: somebody may have signed in. */
export function usePulse(session: number): Pulse {
  const [pulse, setPulse] = useState(nothingYet)
  // A new session is a reason to ask again.
  useEffect(() => {
    const change = (part: Partial<Pulse>) => setPulse((known) => ({ ...known, ...part }))
    const feed = new EventFeed('/api/v1/events', {
      state: (state, why) => change({ state, why }),
      on: {
        hello: (data) => change({ hello: JSON.parse(data) as Hello }),
        overview: (data) => change({ overview: JSON.parse(data) as Overview, heardAt: Date.now() }),
        flow: (data) => change({ flow: JSON.parse(data) as Flow }),
      },
    })
    return () => feed.close()
  }, [session])
  return pulse
}
