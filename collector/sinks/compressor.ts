/**
 * Has a sink's files compressed by a worker thread, which ends when it has nothing to do. In a process one file is
 * compressed at a time, whichever sink it belongs to; one whose disk hangs keeps the others waiting for a minute at most.
 */
import { Worker } from 'node:worker_threads'
import type { CompressAnswer, CompressJob } from './compress-worker.ts'

/** Starting a thread costs some 40 ms; one that waits costs some 10 MiB. */
const idleMs = 2_000
/** A file of the size of a spool is compressed in less. */
const turnMaxMs = 60_000
const workerUrl = new URL('./compress-worker.js', import.meta.url)

export class Compressor {
  readonly #url: URL
  #worker: Worker | undefined
  /** Takes the answer to what is being compressed. */
  #answer: ((error: string | undefined) => void) | undefined
  #idleTimer: NodeJS.Timeout | undefined
  #last: Promise<void> = Promise.resolve()
  /** Those who want the files to stay as they are for a moment, and those who wait for them. */
  #holders = 0
  #released: (() => void)[] = []
  #isClosed = false

  constructor(url: URL = workerUrl) {
    this.#url = url
  }

  /** Resolves when `target` is complete and on the disk; rejects when it is not, or after `close()`. */
  compress(job: CompressJob): Promise<void> {
    const done = this.#last.then(() => this.#unheld()).then(() => this.#run(job))
    this.#last = done.catch(() => undefined)
    return done
  }

  /** Begins with no other file until it is released; what is being compressed goes on. To be released soon, and once. */
  hold(): () => void {
    this.#holders += 1
    return () => {
      this.#holders -= 1
      if (this.#holders === 0) for (const go of this.#released.splice(0)) go()
    }
  }

  async #unheld(): Promise<void> {
    while (this.#holders > 0 && !this.#isClosed) await new Promise<void>((resolve) => this.#released.push(resolve))
  }

  async #run(job: CompressJob): Promise<void> {
    if (this.#isClosed) throw new Error('closed')
    const end = await takeTurn()
    if (this.#isClosed) {
      end()
      throw new Error('closed')
    }
    clearTimeout(this.#idleTimer)
    const worker = this.#worker ?? this.#begin()
    const error = await new Promise<string | undefined>((resolve) => {
      this.#answer = resolve
      worker.postMessage(job)
    })
    this.#answer = undefined
    end()
    if (this.#worker !== undefined) {
      this.#idleTimer = setTimeout(() => void this.#worker?.terminate(), idleMs)
      this.#idleTimer.unref()
    }
    if (error !== undefined) throw new Error(error)
  }

  #begin(): Worker {
    // What was given to the process, to its first thread above all, is not for this one.
    const worker = new Worker(this.#url, { execArgv: [], argv: [], stdin: false })
    this.#worker = worker
    const ended = (message: string) => {
      if (this.#worker !== worker) return
      this.#worker = undefined
      this.#answer?.(message)
    }
    worker.on('message', ({ error }: CompressAnswer) => this.#answer?.(error))
    worker.once('error', (error) => ended(error instanceof Error ? error.message : String(error)))
    worker.once('exit', () => ended('the thread has ended'))
    // It is no reason for the process to go on.
    worker.unref()
    return worker
  }

  /** Gives up what is being compressed. */
  async close(): Promise<void> {
    this.#isClosed = true
    for (const go of this.#released.splice(0)) go()
    clearTimeout(this.#idleTimer)
    await this.#worker?.terminate()
  }
}

let lastTurn: Promise<void> = Promise.resolve()

/** Resolves when nothing else of this process is being compressed, or hangs. What it resolves to ends the turn. */
async function takeTurn(): Promise<() => void> {
  const before = lastTurn
  let end = (): void => undefined
  lastTurn = new Promise((resolve) => {
    end = resolve
  })
  await before
  const timer = setTimeout(end, turnMaxMs)
  timer.unref()
  return () => {
    clearTimeout(timer)
    end()
  }
}
