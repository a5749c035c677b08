import { write, writeSync } from 'node:fs'
import { openUnblocked } from './unblocked-output.ts'

const stdoutFd = 1
const retryMs = 20
let tail: Promise<void> = Promise.resolve()

/** Writes whole lines to stdout off the main thread, in order; calls back when they are written or cannot be. Never keeps the process alive. */
export function printLines(lines: Buffer, done: (isPrinted: boolean) => void): void {
  tail = tail.then(() => print(lines)).then(done)
}

/** Writes whole lines to stdout at once; false when it does not take them. For the process's end. */
export function printLinesNow(lines: Buffer): boolean {
  const stdout = openUnblocked(stdoutFd)
  if (stdout === undefined) return false
  try {
    return writeSync(stdout.fd, lines) === lines.length
  } catch {
    return false
  } finally {
    stdout.close()
  }
}

async function print(lines: Buffer): Promise<boolean> {
  const stdout = openUnblocked(stdoutFd)
  if (stdout === undefined) {
    // In a worker thread, by way of the main one.
    return new Promise((resolve) => process.stdout.write(lines, (error) => resolve(!error)))
  }
  const isPrinted = await writeAll(stdout.fd, lines, 0)
  stdout.close()
  return isPrinted
}

function writeAll(fd: number, lines: Buffer, from: number): Promise<boolean> {
  return new Promise((resolve) => {
    write(fd, lines, from, lines.length - from, null, (error, bytes) => {
      // A closed stdout takes nothing; a full one is tried again for as long as the process lives.
      if (error === null && from + bytes < lines.length) resolve(writeAll(fd, lines, from + bytes))
      else if (error?.code === 'EAGAIN') setTimeout(() => resolve(writeAll(fd, lines, from)), retryMs).unref()
      else resolve(error === null)
    })
  })
}
