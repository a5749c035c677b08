/**
 * Live pages: each is sent the records it asked for as they come, and what it does not keep up with is skipped and told.
 *
 *   frame ─► its part, shared ─► pending of each page whose topics match ─► filtered, a little at a time ─► its stream
 *                                │ full: skipped                            └ too slow: stays pending
 *
 * A frame costs the intake one look at the topic and one entry in a list per page; lines are looked at from a timer,
 * within a share of the time that is the same however many pages there are, and that no page takes from another.
 */
import { performance } from 'node:perf_hooks'
import { demandPrefixes } from '../../wire/demand.ts'
import {
  liveEveryMs,
  liveFilterMs,
  liveMessageBytesMax,
  liveMessageRecordsMax,
  livePageBytesMax,
  livePageRecordsMax,
} from '../../wire/limits.ts'
import { parseTopic, type Topic } from '../../wire/topic.ts'
import type { EventStream } from '../http/event-stream.ts'
import type { LiveFilter } from './live-filter.ts'
import { type LiveEntry, LivePart } from './live-part.ts'

/** Where what pages want is made known; see TailSubscriptions. */
export interface LiveUpstream {
  hold(prefix: string, nowMs: number): void
  release(prefix: string, nowMs: number): void
}

const countsEveryMs = 1_000

export class LivePages {
  readonly #upstream: LiveUpstream
  readonly #pages = new Map<EventStream, LivePage>()
  #pagesOpened = 0
  #timer: NodeJS.Timeout | undefined

  constructor(upstream: LiveUpstream) {
    this.#upstream = upstream
  }

  get isWatched(): boolean {
    return this.#pages.size > 0
  }

  open(stream: EventStream, filter: LiveFilter): void {
    this.#pagesOpened += 1
    const { steady } = demandPrefixes(`browser-${this.#pagesOpened}`, filter.asks)
    const prefixes = [...new Set([...filter.prefixes, ...steady])]
    this.#pages.set(stream, new LivePage(stream, filter, prefixes))
    const nowMs = performance.now()
    for (const prefix of prefixes) this.#upstream.hold(prefix, nowMs)
    this.#timer ??= setInterval(() => this.#turn(), liveEveryMs)
  }

  closed(stream: EventStream): void {
    const page = this.#pages.get(stream)
    if (page === undefined) return
    this.#pages.delete(stream)
    for (const prefix of page.prefixes) this.#upstream.release(prefix, performance.now())
    if (this.#pages.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  /** Takes records that are new. Looks at no line. */
  take(entry: LiveEntry): void {
    if (this.#pages.size === 0) return
    const part = new LivePart(entry)
    for (const page of this.#pages.values()) page.take(part)
  }

  /** Records that were given up before they came here. */
  lost(topic: Topic, records: number): void {
    for (const page of this.#pages.values()) page.lost(topic, records)
  }

  #turn(): void {
    const nowMs = performance.now()
    for (const page of this.#pages.values()) page.send(nowMs, liveFilterMs / this.#pages.size)
  }

  close(): void {
    clearInterval(this.#timer)
    this.#pages.clear()
  }
}

interface Pending {
  readonly part: LivePart
  at: number
}

class LivePage {
  readonly prefixes: readonly string[]
  readonly #stream: EventStream
  readonly #filter: LiveFilter
  #pending: Pending[] = []
  #pendingBytes = 0
  #pendingRecords = 0
  #shown = 0
  #filtered = 0
  /** Not looked at because the page did not keep up. */
  #skipped = 0
  /** Never came to the collector, or were given up. */
  #missed = 0
  #came = 0
  #countedAtMs: number = performance.now()
  /** Time it may take now, ms. Negative after a record that took longer: it is paid back before there is another. */
  #creditMs = 0

  constructor(stream: EventStream, filter: LiveFilter, prefixes: readonly string[]) {
    this.#stream = stream
    this.#filter = filter
    this.prefixes = prefixes
  }

  take(part: LivePart): void {
    if (!this.#filter.mayMatch(part)) return
    this.#came += part.count
    const bytes = this.#pendingBytes + part.bytes
    // Nothing that came whole is cut: one frame is taken however large it is.
    const isFull = bytes > livePageBytesMax || this.#pendingRecords + part.count > livePageRecordsMax
    if (isFull && this.#pending.length > 0) {
      this.#skipped += part.count
      return
    }
    this.#pending.push({ part, at: 0 })
    this.#pendingBytes = bytes
    this.#pendingRecords += part.count
  }

  lost(topic: Topic, records: number): void {
    const parts = parseTopic(topic)
    const level = parts?.kind === 'log' ? parts.level : undefined
    if (parts !== undefined && this.#filter.mayMatch({ topic, level, service: parts.service })) this.#missed += records
  }

  /** Filters until there is enough for a message, or the time is up. */
  send(nowMs: number, shareMs: number): void {
    this.#creditMs = Math.min(this.#creditMs + shareMs, shareMs)
    if (this.#stream.isReady && this.#pending.length > 0 && this.#creditMs > 0) {
      const found = this.#find()
      if (found.length > 0) this.#stream.send('records', `[${found.join(',')}]`)
    }
    if (nowMs - this.#countedAtMs >= countsEveryMs) this.#tell(nowMs)
  }

  #find(): readonly string[] {
    const found: string[] = []
    let bytes = 0
    let done = 0
    const startedAtMs = performance.now()
    let tookMs = 0
    const isOver = () => found.length >= liveMessageRecordsMax || bytes >= liveMessageBytesMax || tookMs >= this.#creditMs
    for (const pending of this.#pending) {
      const { part } = pending
      while (pending.at < part.count && !isOver()) {
        if (this.#filter.matches(part, pending.at)) {
          const json = part.json(pending.at)
          bytes += json.length
          found.push(json)
        } else this.#filtered += 1
        pending.at += 1
        tookMs = performance.now() - startedAtMs
      }
      if (pending.at < part.count) break
      done += 1
      this.#pendingBytes -= part.bytes
      this.#pendingRecords -= part.count
    }
    this.#creditMs -= tookMs
    if (done > 0) this.#pending.splice(0, done)
    this.#shown += found.length
    return found
  }

  #tell(nowMs: number): void {
    if (!this.#stream.isReady) return
    const rate = (1_000 * this.#came) / (nowMs - this.#countedAtMs)
    this.#countedAtMs = nowMs
    this.#came = 0
    const counts = {
      rate: Math.round(rate),
      shown: this.#shown,
      filtered: this.#filtered,
      skipped: this.#skipped,
      missed: this.#missed,
      tooCostly: this.#filter.tooCostly,
    }
    this.#stream.send('counts', JSON.stringify(counts))
  }
}
