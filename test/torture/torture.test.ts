/** The short form of every scenario of `npm run torture`. The seed is printed; `TORTURE_SEED` makes a run again. */
import { describe, expect, test } from 'vitest'
import { anySeed, SeededRandom } from '../support/seeded-random.ts'
import type { Findings } from './findings.ts'
import { type Scenario, TortureContext } from './scenario.ts'
import { killedApps, unknownTail } from './scenarios/killed-apps.ts'
import { scenarios } from './scenarios.ts'

const seed = Number(process.env['TORTURE_SEED'] ?? anySeed())
const timeout = 180_000
const isAboutTail = (failure: string) => failure.startsWith(unknownTail)

async function runShort(scenario: Scenario): Promise<Findings> {
  console.log(`torture: ${scenario.name}, seed ${seed}`)
  const findings = await scenario.run(new TortureContext(new SeededRandom(seed)), 'short')
  for (const [name, value] of findings.facts) console.log(`  ${name}: ${value}`)
  return findings
}

const plain = scenarios.filter((scenario) => scenario !== killedApps)

test.each(plain.map((scenario) => [scenario.promise, scenario] as const))('%s', { timeout }, async (_promise, scenario) => {
  expect((await runShort(scenario)).failures).toEqual([])
})

describe('of applications that are killed, and that end in every other way', () => {
  let findings: Promise<Findings> | undefined
  const run = () => {
    findings ??= runShort(killedApps)
    return findings
  }

  test(killedApps.promise, { timeout }, async () => {
    expect((await run()).failures.filter((failure) => !isAboutTail(failure))).toEqual([])
  })

  test('status.json bounds what nobody can know of a killed application, and knows all of one that said goodbye', { timeout }, async () => {
    expect((await run()).failures.filter(isAboutTail)).toEqual([])
  })
})
