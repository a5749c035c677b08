/** A running `spillway tail`: every line it shows is checked like one in a file, and what it says it missed is added up. */
import { cli, type RunningProcess, startNode } from '../support/processes.ts'
import { KeptLines } from './kept-lines.ts'
import type { Making } from './made-line.mjs'

export class RunningTail implements AsyncDisposable {
  readonly process: RunningProcess
  readonly shown: KeptLines = new KeptLines()
  /** Number of the first line shown, by application. */
  readonly first: Map<string, number> = new Map()
  #rest = ''

  constructor(endpoint: string, making: Making, options: { readonly patterns?: readonly string[]; readonly bytesPerSecond?: number } = {}) {
    this.process = startNode([cli, 'tail', ...(options.patterns ?? []), '--connect', endpoint])
    const { stdout } = this.process.child
    // Hundreds of megabytes in a long run: counted as they come, not kept.
    stdout?.removeAllListeners('data').on('data', (text: string) => {
      this.#take(text, making)
      if (options.bytesPerSecond === undefined) return
      stdout.pause()
      setTimeout(() => stdout.resume(), (text.length * 1_000) / options.bytesPerSecond)
    })
  }

  /** Records it says it did not show: missed on their way to it, or dropped because its reader was slow. */
  get missed(): number {
    let missed = 0
    for (const [, count] of this.process.stderr.matchAll(/([\d,]+) records (?:missed|dropped) here/g))
      missed += Number(count?.replaceAll(',', ''))
    return missed
  }

  #take(text: string, making: Making): void {
    const lines = (this.#rest + text).split('\n')
    this.#rest = lines.pop() ?? ''
    for (const line of lines) {
      const taken = this.shown.take(line, making)
      if (taken !== undefined && !this.first.has(taken.app)) this.first.set(taken.app, taken.n)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.process[Symbol.asyncDispose]()
  }
}
