/**
 * pino's way into Spillway.
 *
 *   pino(destination({ service: 'checkout' }))                              on the main thread: the recommended form
 *   pino({ transport: { target: 'spillway/pino', options: { … } } })        in pino's worker thread
 *
 * The first never blocks and never grows. In the second, pino queues to its worker without a bound; the promises hold
 * from the worker on.
 */
import { Writable } from 'node:stream'
import type { LogDestination } from '../agent/log-destination.ts'
import type { AgentOptions } from '../agent/options.ts'
import { createAgent } from '../agent/shared.ts'
import { closeDeadlineMs, exitWaitMs } from '../wire/limits.ts'

export type { LogDestination } from '../agent/log-destination.ts'
export type { AgentOptions } from '../agent/options.ts'

/**
 * A stream for `pino(stream)` or `pino(options, stream)`, on the shared agent of the service and collector named.
 * A log call into it does bounded work and returns, whatever the state of the collector.
 *
 * @throws {@link SpillwayError} `SPW_OPTION_INVALID` for an option that cannot be meant.
 */
export function destination(options: AgentOptions = {}): LogDestination {
  return createAgent(options).destination()
}

/** pino's transport target. pino's own keys among the options are left alone. */
export default function transport(options: AgentOptions & Record<string, unknown> = {}): Writable {
  const { service, collector, control, ringBytes, fallback, bind, insecure } = options
  // This is pino's worker thread: what it could measure of itself says nothing about the application.
  const stream = destination({ service, collector, control, ringBytes, fallback, bind, insecure, metrics: { runtime: false } })
  return new Writable({
    decodeStrings: false,
    write(chunk: string | Buffer, _encoding, done) {
      stream.write(chunk)
      done()
    },
    // pino ends its worker when this calls back; every socket is closed by then.
    final(done) {
      // Nobody there: the application's end is not held up for longer than in the main thread.
      const isAnyConnected = stream.agent.stats().links.some((link) => link.state === 'connected')
      stream.close(isAnyConnected ? closeDeadlineMs : exitWaitMs).then(() => done(), done)
    },
  })
}
