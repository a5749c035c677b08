/**
 * A stream of server-sent events that is there again when the collector is: after a refusal, a lost connection, and
 * also when nothing comes any more although the connection stands. The collector says something every second.
 */
import { type ApiFailure, whyRefused } from './collector-api.ts'

export type FeedState = 'connecting' | 'open' | 'lost'

export interface FeedHandlers {
  readonly on: Readonly<Record<string, (data: string) => void>>
  readonly state: (state: FeedState, why: ApiFailure | undefined) => void
}

const silenceMaxMs = 5_000
const retryMs = { first: 500, max: 8_000 }
/** Told so often without a change of the request there is nothing to hope for: a bad expression, no session. */
const isFinal = (why: ApiFailure | undefined): boolean =>
  why !== undefined && (why.status === 400 || why.status === 401 || why.status === 403)

export class EventFeed {
  readonly #path: string
  readonly #handlers: FeedHandlers
  #source: EventSource | undefined
  #watchdog: number | undefined
  #retry: number | undefined
  #failures = 0
  #isClosed = false

  constructor(path: string, handlers: FeedHandlers) {
    this.#path = path
    this.#handlers = handlers
    handlers.state('connecting', undefined)
    this.#open()
  }

  close(): void {
    this.#isClosed = true
    this.#drop()
    window.clearTimeout(this.#retry)
  }

  #open(): void {
    const source = new EventSource(this.#path)
    this.#source = source
    this.#expectWords()
    for (const [name, take] of Object.entries(this.#handlers.on)) {
      source.addEventListener(name, (event) => {
        if (source !== this.#source) return
        this.#expectWords()
        if (this.#failures >= 0) this.#handlers.state('open', undefined)
        // Below zero while it is open: the state is told once.
        this.#failures = -1
        take((event as MessageEvent<string>).data)
      })
    }
    source.addEventListener('error', () => {
      if (source === this.#source) void this.#failed()
    })
  }

  #expectWords(): void {
    window.clearTimeout(this.#watchdog)
    this.#watchdog = window.setTimeout(() => void this.#failed(), silenceMaxMs)
  }

  async #failed(): Promise<void> {
    this.#drop()
    this.#failures = Math.max(0, this.#failures) + 1
    const why = await whyRefused(this.#path)
    if (this.#isClosed) return
    this.#handlers.state('lost', why)
    if (isFinal(why)) return
    const ms = Math.min(retryMs.max, retryMs.first * 2 ** Math.min(this.#failures - 1, 10))
    this.#retry = window.setTimeout(() => this.#open(), ms)
  }

  #drop(): void {
    window.clearTimeout(this.#watchdog)
    this.#source?.close()
    this.#source = undefined
  }
}
