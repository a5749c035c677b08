import { write } from 'node:fs'

const stdoutFd = 1
let tail: Promise<void> = Promise.resolve()

/** Writes whole lines to stdout off the main thread, in order; calls back when they are written or cannot be. */
export function printLines(lines: Buffer, done: () => void): void {
  tail = tail.then(() => writeAll(lines, 0)).then(done)
}

function writeAll(lines: Buffer, from: number): Promise<void> {
  return new Promise((resolve) => {
    write(stdoutFd, lines, from, lines.length - from, null, (error, bytes) => {
      // A closed stdout takes nothing; a full non-blocking one is tried again.
      if (error === null && from + bytes < lines.length) resolve(writeAll(lines, from + bytes))
      else if (error?.code === 'EAGAIN') setTimeout(() => resolve(writeAll(lines, from)), 20).unref()
      else resolve()
    })
  })
}
