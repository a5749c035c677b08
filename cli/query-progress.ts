import type { QueryProgress } from '../collector/query/run-query.ts'
import { formatBytes, formatCount } from '../wire/quantity.ts'

const progressAfterMs = 1_000
const progressEveryMs = { terminal: 200, file: 10_000 }

/** How far a search is, on standard error: on a terminal in place, else now and then. */
export class ProgressLine {
  readonly #startedMs = performance.now()
  #shownMs = 0
  #hasLine = false

  show({ bytesDone, bytesTotal, matched }: QueryProgress): void {
    const nowMs = performance.now()
    const isTerminal = process.stderr.isTTY === true
    if (
      nowMs - this.#startedMs < progressAfterMs ||
      (this.#shownMs > 0 && nowMs - this.#shownMs < progressEveryMs[isTerminal ? 'terminal' : 'file'])
    )
      return
    this.#shownMs = nowMs
    const share = bytesTotal === 0 ? 100 : Math.floor((100 * bytesDone) / bytesTotal)
    const text = `spillway query: ${share} % of ${formatBytes(bytesTotal)} searched, ${formatCount(matched)} found`
    process.stderr.write(isTerminal ? `\r\u001b[K${text}` : `${text}\n`)
    this.#hasLine = isTerminal
  }

  clear(): void {
    if (this.#hasLine) process.stderr.write('\r\u001b[K')
    this.#hasLine = false
  }
}
