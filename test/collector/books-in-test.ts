/** What a collector does with frames, without its sockets: books, spool, sinks in a folder, as the collector opens them. */
import { join } from 'node:path'
import { checkpoint } from '../../collector/checkpoint.ts'
import { type Books, openBooks } from '../../collector/collector.ts'
import { FileSink } from '../../collector/sinks/file-sink.ts'
import { LogPath } from '../../collector/sinks/log-path.ts'
import { decodeFrame, encodeFrame, encodeLines, frameKinds } from '../../wire/frame.ts'
import { spoolBytesMaxMin } from '../../wire/limits.ts'
import { type ManifestTopic, manifestBody, readManifest } from '../../wire/manifest.ts'
import { compilePatterns } from '../../wire/pattern.ts'
import type { Topic } from '../../wire/topic.ts'
import { until } from '../support/until.ts'

export interface BooksInTest {
  readonly books: Books
  readonly troubles: string[]
  /** Highest number acknowledged, by origin and topic. */
  readonly acknowledged: Map<string, number>
  lines(origin: string, topic: Topic, seq: number, lines: readonly string[]): void
  manifest(origin: string, topics: Readonly<Record<string, Partial<ManifestTopic> & { readonly lead: number }>>, final?: boolean): void
  /** Writes down how far the sinks are. */
  checkpoint(): Promise<void>
  /** Resolves when the kernel has everything and the sinks have nothing left to do. */
  idle(): Promise<void>
  /** Leaves everything as it lies, as a kill would, but for what waits in memory: nothing of that is written. */
  abandon(): Promise<void>
}

/** @param dir - Holds the spool and the files: `logs/{service}.ndjson`. */
export async function openBooksIn(
  dir: string,
  { rotateBytes = 1e9, sinks = ['files'] }: { readonly rotateBytes?: number; readonly sinks?: readonly string[] } = {},
): Promise<BooksInTest> {
  const troubles: string[] = []
  const acknowledged = new Map<string, number>()
  const keeping = sinks.map(
    (name) =>
      new FileSink({
        name,
        topics: ['log.>'],
        patterns: compilePatterns(['log.>']),
        path: new LogPath(join(dir, name, '{service}.ndjson')),
        rotateBytes,
        onTrouble: (message) => troubles.push(message),
      }),
  )
  const books = await openBooks(
    {
      subscribe: ['log.>'],
      spool: { dir: join(dir, 'spool'), bytesMax: spoolBytesMaxMin, fsyncMs: 1 },
      rollUp: { intervalMs: 10_000, lateMs: 30_000, keep: undefined, drop: [], seriesMax: 10 },
      logMetrics: {},
      onTrouble: (message) => troubles.push(message),
    },
    { release: () => undefined },
    keeping,
    {
      acknowledge: (known) => {
        for (const { origin, topic, kept } of known) acknowledged.set(`${origin.origin} ${topic}`, kept)
      },
      ask: () => undefined,
      answerBye: () => undefined,
    },
    () => undefined,
  )
  const { intake, spool, runners } = books
  return {
    books,
    troubles,
    acknowledged,
    lines(origin, topic, seq, lines) {
      const head = { origin, seq, count: lines.length, time: 1, kind: frameKinds.lines, onDemand: false }
      const frame = encodeLines(head, lines.map((line) => `${line}\n`).join(''))
      const decoded = decodeFrame(frame)
      if (!decoded.ok) throw new Error('a frame of our own is good')
      intake.take(topic, decoded.frame, { topic: Buffer.from(topic), frame })
    },
    manifest(origin, topics, final = false) {
      const told = new Map<Topic, ManifestTopic>()
      for (const [topic, { lead, ...rest }] of Object.entries(topics)) {
        told.set(topic as Topic, { trail: 0, lead, sent: lead, resume: 0, filtered: 0, shed: 0, ...rest })
      }
      const who = { service: 'test', host: 'test-host', pid: 1, node: 'v0', version: '0.0.0' }
      const body = manifestBody({ number: 0, final, urgent: false, everyMs: 2_000, topics: told, gone: [], who })
      const head = { origin, seq: 0, count: 1, time: 1, kind: frameKinds.manifest, onDemand: false }
      const decoded = decodeFrame(encodeFrame(head, body))
      const manifest = decoded.ok ? readManifest(decoded.frame.body) : undefined
      if (!decoded.ok || manifest === undefined) throw new Error('a manifest of our own is good')
      intake.announce(decoded.frame, manifest)
    },
    async checkpoint() {
      await checkpoint(books)
    },
    async idle() {
      await spool.wrote()
      await until(() => runners.every(({ hasWork }) => !hasWork), { what: 'the sinks are idle', everyMs: 1 })
    },
    async abandon() {
      spool.events = { written() {}, abandoned() {} }
      for (const runner of runners) await runner.close()
      await spool.close()
      for (const sink of keeping) await sink.close(sink.status().error === undefined ? 1_000 : 0)
    },
  }
}
