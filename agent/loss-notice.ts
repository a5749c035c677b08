/**
 * What an agent tells its collectors about its own losses: a line like any other, on `sys.<service>.loss.`, so that a
 * live tail shows it and people need no second format. It informs; loss is booked by numbers.
 */
import { encodeLines, frameKinds } from '../wire/frame.ts'
import { levelNumbers } from '../wire/level.ts'
import { sysTopic } from '../wire/topic.ts'
import type { AgentRuntime } from './runtime.ts'

export interface LossNotice {
  readonly origin: string
  readonly service: string
  /** Counts up from 0 per link. */
  readonly number: number
  readonly shed: Readonly<Record<string, number>>
  readonly since: string
  readonly text: string
}

/** @returns Topic and frame. */
export function encodeLossNotice(notice: LossNotice, runtime: Pick<AgentRuntime, 'wallClockMs'>): [Buffer, Buffer] {
  const time = runtime.wallClockMs()
  const line = {
    level: levelNumbers.warn,
    time,
    pid: process.pid,
    msg: `spillway: ${notice.text}`,
    service: notice.service,
    origin: notice.origin,
    since: notice.since,
    shed: notice.shed,
  }
  const head = { origin: notice.origin, seq: notice.number, count: 1, time, kind: frameKinds.lines, onDemand: false } as const
  return [Buffer.from(sysTopic(notice.service, 'loss'), 'latin1'), encodeLines(head, `${JSON.stringify(line)}\n`)]
}
