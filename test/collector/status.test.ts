import { expect, test } from 'vitest'
import { Ingest } from '../../collector/ingest.ts'
import { Ledger } from '../../collector/ledger.ts'
import { LossReport } from '../../collector/loss-report.ts'
import { Spool } from '../../collector/spool/spool.ts'
import { collectorStatus } from '../../collector/status.ts'
import type { Endpoint } from '../../wire/endpoint.ts'
import { originTopicsMax, spoolBytesMaxMin, statusTopicsMax } from '../../wire/limits.ts'
import { compilePatterns } from '../../wire/pattern.ts'
import { privateContext } from '../../wire/socket.ts'
import { logTopic } from '../../wire/topic.ts'
import { tempDir } from '../support/processes.ts'
import { fullStatus } from './full-status.ts'

test('lists a bounded number of topics, says how many it leaves out, and counts them all the same', async () => {
  const ledger = new Ledger(compilePatterns(['log.>']), 0)
  const origins = Math.ceil(statusTopicsMax / originTopicsMax) + 3
  for (let i = 0; i < origins; i += 1) {
    for (let n = 0; n < originTopicsMax; n += 1) {
      ledger.receive(`origin-${String(i).padStart(9, '0')}`, logTopic('info', 'shop', `n${n}`), { seq: 0, count: 1 }, 0)
    }
  }
  const ingest = new Ingest(privateContext(), 'tcp://127.0.0.1:0' as Endpoint, {
    frame: () => undefined,
    roomier: () => undefined,
    freeBuffers: () => undefined,
  })
  await using dir = await tempDir()
  const spool = await Spool.open({ dir: dir.path, bytesMax: spoolBytesMaxMin, onTrouble: () => undefined })
  const status = collectorStatus(
    {
      ledger,
      ingest,
      losses: new LossReport(),
      spool,
      runners: [],
      passing: [],
      turnedAway: 0,
      rollup: fullStatus.rollup,
      tails: { asks: [] },
    },
    { uptimeMs: 1, nowMs: 1, timeMs: 1 },
  )
  await ingest.close()
  await spool.close()
  expect(status.origins).toHaveLength(origins)
  expect(status.origins.reduce((sum, { topics }) => sum + Object.keys(topics).length, 0)).toBe(statusTopicsMax)
  expect(status.topicsNotShown).toBe(origins * originTopicsMax - statusTopicsMax)
  expect(status.totals.accepted).toBe(origins * originTopicsMax)
})
