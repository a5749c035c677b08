/**
 * The records of one filter as they come. Messages are put into the buffer at once; who shows it is told a few times a
 * second, however many come.
 */
import type { LiveCounts, LiveRecord } from './api-types.ts'
import type { ApiFailure } from './collector-api.ts'
import { EventFeed, type FeedState } from './event-feed.ts'
import { RowBuffer } from './row-buffer.ts'

/** Four pictures a second are a lively list; each costs the tab some milliseconds. */
const showEveryMs = 250

export class LiveFeed {
  readonly buffer: RowBuffer = new RowBuffer()
  counts: LiveCounts | undefined
  state: FeedState = 'connecting'
  why: ApiFailure | undefined
  readonly #feed: EventFeed
  readonly #show: () => void
  #timer: number | undefined
  #shownAtMs = 0

  constructor(query: string, show: () => void) {
    this.#show = show
    this.#feed = new EventFeed(`/api/v1/live?${query}`, {
      state: (state, why) => {
        this.state = state
        this.why = why
        this.#soon()
      },
      on: {
        records: (data) => {
          this.buffer.push(JSON.parse(data) as LiveRecord[])
          this.#soon()
        },
        counts: (data) => {
          this.counts = JSON.parse(data) as LiveCounts
          this.#soon()
        },
      },
    })
  }

  #soon(): void {
    if (this.#timer !== undefined) return
    // The first one of a quiet while is shown at once.
    const ms = Math.max(0, this.#shownAtMs + showEveryMs - performance.now())
    this.#timer = window.setTimeout(() => {
      this.#timer = undefined
      this.#shownAtMs = performance.now()
      this.#show()
    }, ms)
  }

  close(): void {
    this.#feed.close()
    window.clearTimeout(this.#timer)
  }
}
