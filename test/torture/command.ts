/** `npm run torture`: the long form of the scenarios, one after the other, until the time is up. */
import { inspect, parseArgs } from 'node:util'
import { anySeed, SeededRandom } from '../support/seeded-random.ts'
import type { Findings } from './findings.ts'
import { type Scenario, TortureContext } from './scenario.ts'
import { scenarios } from './scenarios.ts'

const usage = `npm run torture -- [--minutes N] [--seed N] [--only NAME]

  --minutes N  begins scenarios for so long, the first ones in any case; one that has begun is brought to its end (default 30)
  --seed N     for the choices of the first round; each further round takes the next number (default: any)
  --only NAME  one of ${scenarios.map(({ name }) => name).join(', ')}

Exit code: 0 all counts agree, 1 some do not or a scenario came to no end, 2 wrong usage, 130 interrupted.`

/** Checks shown of one scenario that are met; those that are not are all shown. */
const shownMax = 40

interface Wish {
  readonly minutes: number
  readonly seed: number
  readonly chosen: readonly Scenario[]
}

/** Runs the command and returns its exit code. */
export async function torture(args: readonly string[]): Promise<number> {
  const wish = readWish(args)
  if (typeof wish === 'string') {
    process.stderr.write(`torture: ${wish}\n\n${usage}\n`)
    return 2
  }
  const stop = new AbortController()
  // Not once: the second of two must not leave stopped processes behind.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => stop.abort(new Error('interrupted')))
  const endsAtMs = performance.now() + wish.minutes * 60_000
  const counts = { runs: 0, mismatches: 0 }
  for (let round = 0; round === 0 || performance.now() < endsAtMs; round += 1) {
    for (const scenario of wish.chosen) {
      if (stop.signal.aborted || (performance.now() > endsAtMs && counts.runs > 0)) break
      const isMet = await runOne(scenario, wish.seed + round, stop.signal)
      if (stop.signal.aborted) break
      counts.runs += 1
      if (!isMet) counts.mismatches += 1
    }
    if (stop.signal.aborted) break
  }
  say(`${stop.signal.aborted ? 'interrupted; ' : ''}${counts.runs} scenarios run, ${counts.mismatches} with a mismatch; seed ${wish.seed}`)
  if (counts.mismatches > 0) return 1
  return stop.signal.aborted ? 130 : 0
}

function readWish(args: readonly string[]): Wish | string {
  let values: { minutes?: string | undefined; seed?: string | undefined; only?: string | undefined }
  try {
    values = parseArgs({
      args: [...args],
      options: { minutes: { type: 'string' }, seed: { type: 'string' }, only: { type: 'string' } },
    }).values
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
  const minutes = Number(values.minutes ?? 30)
  const seed = Number(values.seed ?? anySeed())
  const chosen = scenarios.filter(({ name }) => values.only === undefined || name === values.only)
  if (!(minutes > 0)) return `--minutes: expected a number above 0, got ${JSON.stringify(values.minutes)}`
  if (!Number.isSafeInteger(seed) || seed < 0) return `--seed: expected a whole number from 0, got ${JSON.stringify(values.seed)}`
  if (chosen.length === 0) return `--only: there is no scenario ${JSON.stringify(values.only)}`
  return { minutes, seed, chosen }
}

/** Whether everything a scenario has to show is as it has to be. */
async function runOne(scenario: Scenario, seed: number, signal: AbortSignal): Promise<boolean> {
  say(`\n━━ ${scenario.name}: ${scenario.promise} ━━\nagain with: npm run torture -- --only ${scenario.name} --seed ${seed}`)
  const startedAtMs = performance.now()
  try {
    const findings = await scenario.run(new TortureContext(new SeededRandom(seed), signal), 'long')
    show(findings)
    say(
      `${findings.failures.length === 0 ? 'all as it has to be' : `${findings.failures.length} MISMATCHES`}, after ${seconds(startedAtMs)}`,
    )
    return findings.failures.length === 0
  } catch (error) {
    if (signal.aborted) return true
    say(`came to NO END, after ${seconds(startedAtMs)}: ${inspect(error)}`)
    return false
  }
}

function show({ facts, checks }: Findings): void {
  for (const [name, value] of facts) say(`  ${name}: ${value}`)
  const met = checks.filter(({ isMet }) => isMet)
  const shown = [...met.slice(0, shownMax), ...checks.filter(({ isMet }) => !isMet)]
  const width = Math.max(...shown.map(({ what }) => what.length))
  for (const { what, found, expected, isMet } of shown)
    say(`  ${isMet ? ' ' : '✗'} ${what.padEnd(width)}  found ${found}  expected ${expected}`)
  if (met.length > shownMax) say(`    and ${met.length - shownMax} more that are met`)
}

function seconds(sinceMs: number): string {
  return `${Math.round((performance.now() - sinceMs) / 1_000)} s`
}

function say(text: string): void {
  process.stdout.write(`${text}\n`)
}
