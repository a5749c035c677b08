/**
 * What a sink writes after its process was killed at any byte: with what was there already, every line exactly once.
 *
 * A first sink writes entries in rounds and notes its places; then its last round is taken back to some byte, as if it
 * had been killed there. A second sink takes up the places and is given what the spool would give it.
 */
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, statSync, truncateSync } from 'node:fs'
import { cp, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { FileSink } from '../../../collector/sinks/file-sink.ts'
import { LogPath } from '../../../collector/sinks/log-path.ts'
import type { Entry } from '../../../collector/sinks/sink.ts'
import type { SinkPlace } from '../../../collector/spool/spool-bodies.ts'
import { frameKinds } from '../../../wire/frame.ts'
import { compilePatterns } from '../../../wire/pattern.ts'
import { logTopic } from '../../../wire/topic.ts'
import { tempDir } from '../../support/processes.ts'
import { until } from '../../support/until.ts'

const topic = logTopic('info', 'shop')

interface Round {
  /** Lines per entry. */
  readonly entries: readonly (readonly string[])[]
  readonly isCheckpointed: boolean
}

function newSink(dir: string, rotateBytes: number, places: SinkPlace[]): FileSink {
  const sink = new FileSink({
    name: 'files',
    topics: ['log.>'],
    patterns: compilePatterns(['log.>']),
    path: new LogPath(join(dir, 'a.ndjson')),
    rotateBytes,
    onTrouble: (message) => {
      throw new Error(message)
    },
  })
  sink.events = {
    ...sink.events,
    note: async (files) => {
      places.push({ sink: 'files', position: sink.lowest, files })
      return true
    },
  }
  return sink
}

const written = (sink: FileSink) => until(() => sink.pendingBytes === 0, { what: 'everything is written', everyMs: 1 })

/** The files in the order they were written. */
function filesIn(dir: string): string[] {
  const number = (name: string) => Number(/\.(\d+)\.ndjson$/.exec(name)?.[1] ?? Number.POSITIVE_INFINITY)
  return readdirSync(dir)
    .sort((a, b) => number(a) - number(b))
    .map((name) => join(dir, name))
}

const textIn = (dir: string) =>
  filesIn(dir)
    .map((file) => readFileSync(file, 'utf8'))
    .join('')

/** Takes the folder back to when so many bytes had been written: the file of that moment under the plain name, none behind it. */
function takeBack(dir: string, bytes: number, isRenamed: boolean): void {
  let left = bytes
  const files = filesIn(dir)
  for (const [i, file] of files.entries()) {
    const { size } = statSync(file)
    const isLast = i === files.length - 1
    // Full and about to be renamed, or renamed and no new one begun.
    if (left > size || (left === size && isRenamed && !isLast)) {
      left -= size
      continue
    }
    truncateSync(file, left)
    for (const later of files.slice(i + 1)) rmSync(later)
    renameSync(file, join(dir, 'a.ndjson'))
    if (left === 0 && isRenamed && i > 0) rmSync(join(dir, 'a.ndjson'))
    return
  }
}

async function runRounds(dir: string, rotateBytes: number, rounds: readonly Round[]) {
  const places: SinkPlace[] = []
  const sink = newSink(dir, rotateBytes, places)
  const entries: Entry[] = []
  let bytesBefore = 0
  for (const { entries: texts, isCheckpointed } of rounds) {
    bytesBefore = entries.reduce((sum, { lines }) => sum + lines.length, 0)
    for (const text of texts) {
      const lines = Buffer.from(text.map((line) => `${line}\n`).join(''))
      const position = (entries.at(-1)?.end ?? 0) + 7
      const of = { topic, kind: frameKinds.lines, origin: 'origin-000000000', seq: 0, timeMs: 0 }
      const entry = { position, end: position + lines.length, ...of, lines, count: text.length, receivedAtMs: 0, isSpooled: true }
      entries.push(entry)
      sink.write(entry)
    }
    await written(sink)
    // The last round's own does not come to it.
    if (isCheckpointed && rounds.at(-1)?.entries !== texts) {
      const end = entries.at(-1)?.end ?? 0
      places.push({ sink: 'files', position: Math.min(sink.lowest, end), files: sink.takeMoved() })
    }
  }
  await sink.close(1_000)
  return { places, entries, bytesBefore, text: entries.map(({ lines }) => lines.toString()).join('') }
}

/** A second sink does what is left to do. */
async function resume(dir: string, rotateBytes: number, places: readonly SinkPlace[], entries: readonly Entry[], perRound = 1_000) {
  const sink = newSink(dir, rotateBytes, [])
  const done = new Set<Entry>()
  sink.events = { ...sink.events, done: (entry) => done.add(entry) }
  const start = await sink.restore(places, 0)
  const again = entries.filter(({ position }) => position >= start)
  for (let at = 0; at < again.length; at += perRound) {
    for (const entry of again.slice(at, at + perRound)) sink.write(entry)
    await written(sink)
  }
  await sink.close(1_000)
  expect(done).toEqual(new Set(again))
  return again.length
}

/** Places of files that had not been made yet were not written down yet. */
function placesUntil(dir: string, places: readonly SinkPlace[]): SinkPlace[] {
  const there = new Set(
    filesIn(dir).flatMap((file) => [`${statSync(file).dev}:${statSync(file).ino}`, `${/\.\d+(?=\.ndjson$)/.exec(file)?.[0]}`]),
  )
  return places.filter(({ files }) => files.every(({ identity }) => there.has(identity)))
}

const someRounds = fc.array(
  fc.record({
    entries: fc.array(fc.array(fc.nat(40), { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 5 }),
    isCheckpointed: fc.boolean(),
  }),
  { minLength: 1, maxLength: 5 },
)

/** No two lines are alike, as with a time in each. */
function numbered(rounds: readonly { readonly entries: readonly (readonly number[])[]; readonly isCheckpointed: boolean }[]): Round[] {
  let n = 0
  return rounds.map(({ entries, isCheckpointed }) => ({
    isCheckpointed,
    entries: entries.map((lines) =>
      lines.map((length) => {
        n += 1
        return `{"n":${n},"pad":"${'ü'.repeat(length)}"}`
      }),
    ),
  }))
}

describe('killed', () => {
  test('at every byte of a write: every line is there once, in order', async () => {
    await using dir = await tempDir()
    const rounds = numbered([
      { entries: [[3, 9], [0]], isCheckpointed: true },
      { entries: [[5, 1, 2], [8], [0, 20]], isCheckpointed: false },
    ])
    const total = Buffer.byteLength(
      rounds[1]?.entries
        .flat()
        .map((line) => `${line}\n`)
        .join('') ?? '',
    )
    for (let byte = 0; byte <= total; byte += 1) {
      const at = join(dir.path, String(byte))
      const { places, entries, bytesBefore, text } = await runRounds(at, 1e9, rounds)
      takeBack(at, bytesBefore + byte, false)
      await resume(at, 1e9, placesUntil(at, places), entries)
      expect(textIn(at), `killed at byte ${byte}`).toBe(text)
      rmSync(at, { recursive: true })
    }
  })

  test('at any byte of any round, with and without rotation and checkpoints: every line is there once, in order', async () => {
    await using dir = await tempDir()
    let runs = 0
    let rotated = 0
    await fc.assert(
      fc.asyncProperty(
        someRounds.map(numbered),
        fc.constantFrom(60, 150, 400, 1e9),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.boolean(),
        fc.integer({ min: 1, max: 4 }),
        async (rounds, rotateBytes, share, isRenamed, perRound) => {
          runs += 1
          const at = join(dir.path, String(runs))
          const { places, entries, bytesBefore, text } = await runRounds(at, rotateBytes, rounds)
          if (filesIn(at).length > 1) rotated += 1
          const total = Buffer.byteLength(text)
          takeBack(at, bytesBefore + Math.floor(share * (total - bytesBefore)), isRenamed)
          await resume(at, rotateBytes, placesUntil(at, places), entries, perRound)
          expect(textIn(at)).toBe(text)
          rmSync(at, { recursive: true })
        },
      ),
      { numRuns: 100, timeout: 30_000 },
    )
    expect(rotated).toBeGreaterThan(30)
  })
})

test('copied to another disk, where every file has another number, it goes on where the lines end', async () => {
  await using dir = await tempDir()
  const rounds = numbered([
    { entries: [[3, 9], [0]], isCheckpointed: true },
    { entries: [[5, 1, 2], [8], [0, 20]], isCheckpointed: false },
  ])
  const [here, there] = [join(dir.path, 'here'), join(dir.path, 'there')]
  const { places, entries, bytesBefore, text } = await runRounds(here, 1e9, rounds)
  takeBack(here, bytesBefore + 30, false)
  await cp(here, there, { recursive: true })
  await rm(here, { recursive: true })
  // Only the path is what it was.
  await rename(there, here)
  expect(await resume(here, 1e9, places, entries)).toBeGreaterThan(0)
  expect(textIn(here)).toBe(text)
})

describe('a file that somebody has taken away', () => {
  const rounds = numbered([
    { entries: [[3, 9], [0]], isCheckpointed: true },
    { entries: [[5, 1, 2], [8]], isCheckpointed: true },
    { entries: [[1]], isCheckpointed: false },
  ])

  test.each(['deleted', 'compressed', 'moved by another program'])('(%s) is not written again from the beginning', async (how) => {
    await using dir = await tempDir()
    const at = join(dir.path, 'a')
    const { places, entries } = await runRounds(at, 1e9, rounds)
    const [path = ''] = filesIn(at)
    if (how === 'deleted') rmSync(path)
    else renameSync(path, how === 'compressed' ? `${path}.gz` : join(dir.path, 'archived'))
    await resume(at, 1e9, places, entries)
    // What was written since the last checkpoint may be in either.
    const kept = existsSync(path) ? readFileSync(path, 'utf8') : ''
    expect(entries.at(-1)?.lines.toString()).toContain(kept)
  })

  test('and was not the last one is not written again at all', async () => {
    await using dir = await tempDir()
    const at = join(dir.path, 'a')
    const { places, entries, text } = await runRounds(at, 60, rounds)
    const [first = '', ...others] = filesIn(at)
    expect(others.length).toBeGreaterThan(1)
    const taken = readFileSync(first, 'utf8')
    rmSync(first)
    await resume(at, 60, places, entries)
    expect(taken + textIn(at)).toBe(text)
  })
})

test('a file that is shorter than its places say, as after a power cut, is completed from the one it reaches', async () => {
  await using dir = await tempDir()
  const at = join(dir.path, 'a')
  const rounds = numbered(Array.from({ length: 4 }, (_, i) => ({ entries: [[i, 9], [0]], isCheckpointed: true })))
  for (const share of [0, 0.3, 0.5, 0.9]) {
    const { places, entries, text } = await runRounds(at, 1e9, rounds)
    const [path = ''] = filesIn(at)
    truncateSync(path, Math.floor(share * statSync(path).size))
    await resume(at, 1e9, places, entries)
    expect(textIn(at)).toBe(text)
    rmSync(at, { recursive: true })
  }
})
