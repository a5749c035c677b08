/**
 * Hundreds of small worlds in virtual time, each from its seed: programs that log through the real agent, the real
 * ledger, intake and recovery, and around them a network, disks and processes that fail in every way there is. In calm
 * weather the books must come right, to the record.
 *
 *     npm run simulate -- --seed 1234
 */
import { beforeAll, describe, expect, test } from 'vitest'
import { repairBytesPerSecond } from '../../wire/limits.ts'
import { type CountName, type Counts, type Outcome, simulate } from './simulate.ts'

const seedsByDefault = { from: 1, to: 500 }
const controlSeeds = 30
const shownMax = 10
/** A machine that is busy with other things takes several times as long; a seed that never ends, longer still. */
const timeoutMs = 600_000

/** `SPILLWAY_SEEDS`: `1234` or `1..5000`. */
function seedsWanted(text: string | undefined): number[] {
  const match = /^(\d+)(?:\.\.(\d+))?$/.exec(text ?? '')
  const from = match === null ? seedsByDefault.from : Number(match[1])
  const to = match === null ? seedsByDefault.to : Number(match[2] ?? match[1])
  return Array.from({ length: to - from + 1 }, (_, n) => from + n)
}

const isReplay = process.env['SPILLWAY_SEEDS'] !== undefined
const seeds = seedsWanted(process.env['SPILLWAY_SEEDS'])

function told(outcomes: readonly Outcome[]): string {
  const wrong = outcomes.filter(({ violations }) => violations.length > 0)
  const lines = wrong.slice(0, shownMax).map(({ seed, violations }) => {
    const [first = '', ...others] = violations
    return `seed ${seed}: ${first}${others.length > 0 ? `, and ${others.length} more` : ''}\n  replay it: npm run simulate -- --seed ${seed}`
  })
  return wrong.length === 0 ? '' : `${wrong.length} of ${outcomes.length} seeds went wrong\n${lines.join('\n')}`
}

function summed(outcomes: readonly Outcome[]): Counts {
  const sum: Partial<Counts> = {}
  for (const { counts } of outcomes)
    for (const [name, count] of Object.entries(counts)) sum[name as CountName] = (sum[name as CountName] ?? 0) + count
  return sum as Counts
}

async function simulateAll(of: readonly number[], crippled: Parameters<typeof simulate>[1] = {}): Promise<Outcome[]> {
  const outcomes: Outcome[] = []
  for (const seed of of) outcomes.push(await simulate(seed, crippled))
  return outcomes
}

describe(`seeds ${seeds[0]} to ${seeds.at(-1)}`, () => {
  let outcomes: readonly Outcome[] = []
  let counts: Counts

  beforeAll(async () => {
    const startedAtMs = performance.now()
    outcomes = await simulateAll(seeds)
    counts = summed(outcomes)
    const perSeedMs = (performance.now() - startedAtMs) / seeds.length
    console.info(`seeds ${seeds[0]} to ${seeds.at(-1)}, ${perSeedMs.toFixed(0)} ms each:`, counts)
    if (isReplay && seeds.length === 1) console.info(outcomes[0]?.violations.join('\n') || 'nothing went wrong')
  }, timeoutMs)

  test('after any faults every accepted record is at the sink once, or lost with a reason; what is new is delivered; nobody asks without end', () => {
    expect(told(outcomes)).toBe('')
  })

  test.skipIf(isReplay)('each fault there is has happened, and did something', () => {
    const happened: readonly CountName[] = [
      'cuts',
      'controlCuts',
      'halfOpen',
      'refusals',
      'framesLostInPipes',
      'framesLost',
      'manifestsLost',
      'controlsLost',
      'intoNothing',
      'interleavings',
      'crashes',
      'rolledBack',
      'turnedAway',
      'kills',
      'exits',
      'closes',
      'stops',
      'evicted',
      'diskFailures',
      'notDurable',
    ]
    // On average once in two seeds at the least.
    for (const name of happened) expect(counts[name], name).toBeGreaterThan(0.2 * seeds.length)
    const followed: readonly CountName[] = ['requests', 'repairs', 'duplicates', 'lostEvicted', 'lostUnanswered', 'lostGone', 'unknownTail']
    for (const name of followed) expect(counts[name], name).toBeGreaterThan(0)
    expect(counts.finished).toBeGreaterThan(seeds.length)
    expect(counts.notFinished).toBeGreaterThan(seeds.length)
    expect(counts.delivered).toBeGreaterThan(counts.accepted / 3)
    // What can be repaired is.
    expect(counts.lostUnanswered).toBeLessThan(counts.delivered / 400)
  })

  test.skipIf(isReplay)('repairs stay behind what was asked for, and are a small part of what is sent', () => {
    expect(counts.repairs).toBeLessThan(counts.requestedRecords)
    expect(counts.repairBytes).toBeLessThan(counts.bytes / 10)
    for (const { seed, counts: each } of outcomes) {
      expect(each.repairBytes, `seed ${seed}`).toBeLessThan(repairBytesPerSecond * (1 + each.virtualMs / 1_000))
    }
  })

  test.skipIf(isReplay)('in some seeds the same collector was killed and its disk failed', () => {
    expect(counts.crashesOnBadDisk).toBeGreaterThan(0.2 * seeds.length)
  })

  test.skipIf(isReplay)('a seed is the same world every time', async () => {
    for (const seed of seeds.slice(0, 3)) {
      expect(await simulate(seed)).toEqual(outcomes[seeds.indexOf(seed)])
    }
  })
})

describe.skipIf(isReplay)('what the protocol is made of is missed when it is left out:', () => {
  const few = seedsWanted(`1..${controlSeeds}`)
  const wrongIn = (outcomes: readonly Outcome[], what: RegExp) =>
    outcomes.filter(({ violations }) => violations.some((violation) => what.test(violation))).length

  test('without manifests the ends of bursts are lost and in no book', async () => {
    const outcomes = await simulateAll(few, { withoutManifests: true })
    expect(wrongIn(outcomes, /accepted there, \d+ here|nothing is known of/)).toBeGreaterThan(controlSeeds / 2)
  })

  test('without notes a collector that is killed while its disk fails takes lost records for delivered ones', async () => {
    const outcomes = await simulateAll(few, { withoutNotes: true })
    expect(wrongIn(outcomes, /booked as delivered, \d+ at the sink|joined at/)).toBeGreaterThan(0)
  })

  test('with one number space for all topics, a collector that takes only some of them books losses that are none', async () => {
    const outcomes = await simulateAll(few, { hasOneNumberSpace: true })
    expect(wrongIn(outcomes, /booked as evicted, \d+ were/)).toBeGreaterThan(controlSeeds / 2)
  })
})
