/**
 * Time that passes only when everything that was to happen before has happened. One queue of events, in order of time
 * and then of asking; between two of them the microtasks of the first, which are a queue of their own here.
 */
import type { Pending } from '../../agent/runtime.ts'

interface Event {
  readonly atMs: number
  readonly order: number
  callback: (() => void) | undefined
}

/** More microtasks follow each other nowhere in the agent: a pause, the look behind it, flush and close. */
const hopsOfPromises = 12

export class VirtualTime {
  nowMs = 1_000
  events = 0
  readonly #heap: Event[] = []
  #order = 0
  #soon: (() => void)[] = []
  #hasPromises = false
  #unfinished: Promise<void>[] = []

  after(ms: number, callback: () => void): Pending {
    const event: Event = { atMs: this.nowMs + Math.max(0, ms), order: this.#order++, callback }
    this.#push(event)
    return {
      cancel: () => {
        event.callback = undefined
      },
    }
  }

  /** Behind what runs now, before anything else. */
  soon(callback: () => void): void {
    this.#soon.push(callback)
  }

  /** A promise; whoever waits for it goes on before the next event. */
  pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.after(ms, () => {
        resolve()
        this.#hasPromises = true
      })
    })
  }

  /** Something waits for a promise that has just been resolved: it goes on before the next event. */
  letPromisesRun(): void {
    this.#hasPromises = true
  }

  /** Runs work to its end before the next event: work that needs no time, only promises. */
  finish(work: Promise<void>): void {
    this.#unfinished.push(work)
  }

  async runUntil(untilMs: number): Promise<void> {
    // What was asked for from outside, `close` for example, begins with promises.
    await this.#finishWork()
    await hops()
    for (let event = this.#heap[0]; event !== undefined && event.atMs <= untilMs; event = this.#heap[0]) {
      this.#pop()
      const { callback } = event
      if (callback === undefined) continue
      this.nowMs = event.atMs
      this.events += 1
      callback()
      while (this.#soon.length > 0) for (const next of this.#soon.splice(0)) next()
      if (this.#unfinished.length > 0) await this.#finishWork()
      if (!this.#hasPromises) continue
      this.#hasPromises = false
      await hops()
      while (this.#soon.length > 0) for (const next of this.#soon.splice(0)) next()
    }
    this.nowMs = untilMs
  }

  async #finishWork(): Promise<void> {
    while (this.#unfinished.length > 0) await this.#unfinished.shift()
  }

  runFor(ms: number): Promise<void> {
    return this.runUntil(this.nowMs + ms)
  }

  #push(event: Event): void {
    const heap = this.#heap
    let index = heap.length
    while (index > 0) {
      const parentIndex = (index - 1) >>> 1
      const parent = heap[parentIndex]
      if (parent === undefined || !isBefore(event, parent)) break
      heap[index] = parent
      index = parentIndex
    }
    heap[index] = event
  }

  #pop(): void {
    const heap = this.#heap
    const last = heap.pop()
    if (last === undefined || heap.length === 0) return
    let index = 0
    for (;;) {
      let childIndex = 2 * index + 1
      let child = heap[childIndex]
      if (child === undefined) break
      const right = heap[childIndex + 1]
      if (right !== undefined && isBefore(right, child)) {
        childIndex += 1
        child = right
      }
      if (!isBefore(child, last)) break
      heap[index] = child
      index = childIndex
    }
    heap[index] = last
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)
}

async function hops(): Promise<void> {
  for (let i = 0; i < hopsOfPromises; i += 1) await undefined
}
