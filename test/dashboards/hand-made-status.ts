/** Status documents by hand: what is not said is nought, and what is said adds up. */
import { readStatus, type StatusDocument, type StatusTopic } from '../../dashboards/status-document.ts'

/** The collector's clock when it answers, Unix ms. */
export const statusTimeMs: number = Date.UTC(2026, 4, 31, 18, 0, 0)

/** A topic's books; received and delivered follow from the rest. */
export function books(accepted: number, more: Partial<StatusTopic> = {}): StatusTopic {
  const { lost = {}, inFlight = 0, expired = 0, rejected = 0, pending = 0, notDurable = 0 } = more
  const delivered = accepted - Object.values(lost).reduce((sum, records) => sum + records, 0) - inFlight - expired - rejected
  const received = delivered + rejected + expired + pending
  const beside = { filtered: 0, duplicates: 0, late: 0, shedAtOrigin: 0 }
  return {
    ...{ accepted, delivered, lost, inFlight, expired, rejected, pending, notDurable, received, spooled: received - notDurable },
    ...beside,
    ...more,
  }
}

export function origin(service: string, topics: Record<string, StatusTopic>, more: object = {}): object {
  return { origin: service.padEnd(16, '-').slice(0, 16), service, host: 'web-1', pid: 4_242, state: 'live', topics, ...more }
}

/** Through the reader, like one that was sent. */
export function statusOf(more: object = {}): StatusDocument {
  return readStatus(JSON.stringify(documentOf(more)), 'hand').status
}

export function documentOf(more: object = {}): object {
  return {
    version: '0.1.0',
    uptimeMs: 3_600_000,
    timeMs: statusTimeMs,
    totals: books(0),
    origins: [],
    sinks: {},
    ingest: { frames: 0, bytes: 0, refused: {}, turnedAway: 0 },
    ...more,
  }
}
