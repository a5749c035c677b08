/** The last resort of `fallback: 'stdout'`: lines nobody took go to stdout, as far as that takes them. */
import { decodeFrame, frameKinds } from '../wire/frame.ts'
import { printLines, printLinesNow } from './print-lines.ts'

/** Lines that wait for a slow stdout. More than that is shed. */
const pendingBytesMax = 1_048_576

export class StdoutFallback {
  #pendingBytes = 0

  /**
   * Prints the lines of a frame, in order, off the main thread.
   *
   * @param failed - Called later should stdout not take them after all.
   * @returns False when too much waits already.
   */
  print(frame: Buffer, failed: () => void): boolean {
    if (this.#pendingBytes > pendingBytesMax) return false
    const decoded = decodeFrame(frame)
    // Only lines are for people.
    if (!decoded.ok || decoded.frame.kind !== frameKinds.lines) return false
    const lines = Buffer.from(decoded.frame.body)
    this.#pendingBytes += lines.length
    printLines(lines, (isPrinted) => {
      this.#pendingBytes -= lines.length
      if (!isPrinted) failed()
    })
    return true
  }

  /** Prints them at once, at the process's end; false when stdout does not take them. */
  printNow(frame: Buffer): boolean {
    const decoded = decodeFrame(frame)
    return decoded.ok && decoded.frame.kind === frameKinds.lines && printLinesNow(decoded.frame.body)
  }
}
