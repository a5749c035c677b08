/**
 * Looks at a promise without waiting for it.
 *
 * ZeroMQ's binding answers a send or a receive that cannot wait with a promise that is settled when it is returned,
 * but JavaScript shows that a microtask later: too late inside one long turn, and never in an `exit` handler.
 * `util.inspect` shows it at once (about 1 µs settled, 2 µs rejected); there is no other public way.
 */
import { inspect } from 'node:util'

const options = { depth: 1, compact: true, breakLength: Number.POSITIVE_INFINITY, colors: false, customInspect: true }

/** Whether the promise is rejected already. */
export function isRejected(promise: Promise<unknown>): boolean {
  try {
    return inspect(promise, options).startsWith('Promise { <rejected>')
  } catch {
    // Only an error's stack is formatted by code of the application's, and only a rejected promise shows an error.
    return true
  }
}

/** The first 50 bytes of each buffer of a message that has been received already; undefined when there is none. */
export function receivedHeads(promise: Promise<Buffer[]>): Buffer[] | undefined {
  const text = inspect(promise, options)
  if (text.startsWith('Promise { <')) return undefined
  return [...text.matchAll(/<Buffer((?: [0-9a-f]{2})*)/g)].map((match) => Buffer.from((match[1] ?? '').replaceAll(' ', ''), 'hex'))
}
