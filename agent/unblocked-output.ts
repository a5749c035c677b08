/**
 * Standard output and error as file descriptors on which a write never waits. A thread that waits in one for a reader
 * that has stopped would hold the process at its end, even one of libuv's.
 */
import { closeSync, constants, fstatSync, openSync, writeSync } from 'node:fs'
import { isMainThread } from 'node:worker_threads'

export interface UnblockedOutput {
  readonly fd: number
  close(): void
}

/** Opens 1 (stdout) or 2 (stderr) anew. Undefined where that cannot be done without a risk of waiting. */
export function openUnblocked(standardFd: 1 | 2): UnblockedOutput | undefined {
  try {
    // A file never makes a writer wait, and a second opening of it would write at a place of its own.
    if (fstatSync(standardFd).isFile()) return { fd: standardFd, close: () => undefined }
    // The same pipe, terminal or file, but with flags of its own: those of the first are shared with other processes.
    const fd = openSync(`/proc/self/fd/${standardFd}`, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_APPEND | constants.O_NOCTTY)
    return { fd, close: () => closeSync(fd) }
  } catch {
    // A socket, no such path on this system, or not this user's. Node makes pipes and sockets non-blocking when its own
    // stream for them is first looked at, as pino and console do.
    if (!isMainThread) return undefined
    try {
      void (standardFd === 1 ? process.stdout : process.stderr)
    } catch {
      // Closed: writing will say so.
    }
    return { fd: standardFd, close: () => undefined }
  }
}

/** Writes a line to stderr by a write that cannot block, or not at all: a full pipe behind it must not stop the application. */
export function sayOnStderr(line: string): void {
  const stderr = openUnblocked(2)
  if (stderr === undefined) {
    // In a worker thread, by way of the main one.
    process.stderr.write(line)
    return
  }
  try {
    writeSync(stderr.fd, line)
  } catch {
    // stderr is closed or full: there is nobody to tell.
  } finally {
    stderr.close()
  }
}
