/**
 * A collector killed with SIGKILL exactly where it hurts most, while an application logs on, and started anew: every
 * line is in the files, once and whole, and the books say so.
 */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { CrashPoint } from '../../collector/spool/crash-points.ts'
import { root, startCollector, tempDir } from '../support/processes.ts'
import { until } from '../support/until.ts'
import { configFor, missingAndTwice, settled, startSteady, stopSteady } from './spooling.ts'

const crashAt = join(root, 'test/support/crash-at.mjs')

/** Where, and the times it is passed before: early, and when much has happened. */
const cases: readonly (readonly [point: CrashPoint, times: number])[] = [
  ['after-append', 1],
  ['after-append', 150],
  ['before-fsync', 1],
  ['before-fsync', 20],
  ['after-fsync', 1],
  ['after-fsync', 20],
  ['in-roll', 1],
  ['in-roll', 2],
  ['in-roll', 4],
  ['in-reuse', 1],
  ['in-reuse', 3],
  ['before-checkpoint', 1],
  ['before-checkpoint', 4],
  ['in-rotation', 1],
  ['in-rotation', 7],
  ['before-unlink', 1],
  ['before-unlink', 2],
  ['before-cursor', 1],
  ['before-cursor', 20],
]

/** The same with closed files being compressed meanwhile: what a restart needs must still be there. */
const casesOfUpkeep: typeof cases = [
  ['after-append', 150],
  ['before-checkpoint', 4],
  ['in-rotation', 7],
  ['after-seal', 1],
  ['after-seal', 7],
  ['in-link', 1],
  ['before-compression', 1],
  ['before-compression', 4],
  ['before-compressed', 1],
  ['before-compressed', 4],
  ['in-compressed', 1],
  ['in-compressed', 4],
]

test.each(cases)('killed %s, the %d. time it comes there: nothing is missing, twice or torn', async (point, times) => {
  await killedAt(point, times)
})

test.each(casesOfUpkeep)('killed %s, the %d. time, while files are compressed: nothing is missing, twice or torn', async (point, times) => {
  const names = await killedAt(point, times, 'compress: gzip')
  expect(names.filter((name) => name.endsWith('.gz')).length).toBeGreaterThan(1)
  expect(names.filter((name) => name.endsWith('.tmp'))).toEqual([])
})

/** Returns the names of what is there at the end. */
async function killedAt(point: CrashPoint, times: number, upkeep?: string): Promise<readonly string[]> {
  await using dir = await tempDir()
  const args = configFor(dir.path, upkeep === undefined ? {} : { upkeep })
  const crashing = startCollector({
    dir: dir.path,
    args,
    nodeArgs: ['--import', crashAt],
    env: { SPILLWAY_TEST_CRASH: `${point}:${times}` },
  })
  // The first time some points are reached, it does not even listen yet.
  const first = await crashing.catch((error: unknown) => String(error))
  await using app = typeof first === 'string' ? undefined : await startSteady(first)
  if (typeof first === 'string') expect(first).toContain(`reached ${point} for the ${times}. time`)
  else {
    expect(await until(() => first.process.end, { what: `it reaches ${point}`, timeoutMs: 40_000 })).toEqual({
      code: null,
      signal: 'SIGKILL',
    })
    expect(first.process.stderr).toContain(`reached ${point} for the ${times}. time`)
  }
  await using second = await startCollector({ dir: dir.path, args, ...(typeof first === 'string' ? {} : { port: first.port }) })
  await using later = app === undefined ? await startSteady(second) : undefined
  const { accepted } = (await second.status()).totals
  await until(async () => (await second.status()).totals.accepted > accepted + 500, { what: 'it goes on', timeoutMs: 40_000 })
  const running = app ?? later
  const logged = running === undefined ? 0 : await stopSteady(running)
  expect(logged).toBeGreaterThan(500)
  const { totals, spool } = await settled(second, logged)
  expect(totals).toMatchObject({ accepted: logged, delivered: logged, received: logged, spooled: logged, notDurable: 0, pending: 0 })
  expect(totals.lost).toEqual({})
  expect(spool.error).toBeUndefined()
  expect(missingAndTwice(second.lines('steady'), logged)).toEqual({ missing: '', twice: '' })
  // Whatever was left to do is done: another start writes nothing more, and says the same.
  second.process.kill('SIGKILL')
  await second.process.ended
  await using third = await startCollector({ dir: dir.path, args, port: second.port })
  const again = await settled(third, logged)
  expect(again.totals).toMatchObject({ accepted: logged, delivered: logged, notDurable: 0, pending: 0 })
  expect(missingAndTwice(third.lines('steady'), logged)).toEqual({ missing: '', twice: '' })
  if (upkeep === undefined) return []
  const folder = join(dir.path, 'logs', 'steady')
  const isDone = () => {
    const rotated = readdirSync(folder).filter((name) => /\.\d+\.ndjson/.test(name))
    return rotated.length > 1 && rotated.every((name) => name.endsWith('.gz'))
  }
  await until(isDone, { what: 'all that was rotated is compressed' })
  expect(missingAndTwice(third.lines('steady'), logged)).toEqual({ missing: '', twice: '' })
  return readdirSync(folder)
}
