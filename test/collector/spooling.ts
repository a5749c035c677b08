/** What tests of a collector with a spool have in common: small spools, an application that logs on, and what must come of it. */
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import type { CollectorStatus } from '../../collector/status.ts'
import { type RunningProcess, root, startNode, type TestCollector } from '../support/processes.ts'
import { until } from '../support/until.ts'

export interface SpoolingOptions {
  readonly maxBytes?: string
  readonly fsync?: string
  readonly rotate?: string
  /** YAML of more keys of the file sink. */
  readonly upkeep?: string
  readonly spoolDir?: string
  /** YAML of the sinks, in place of one file sink. */
  readonly sinks?: string
}

/** Writes a configuration with a small spool and small log files. Returns what a collector takes it with. */
export function configFor(dir: string, options: SpoolingOptions = {}): readonly string[] {
  mkdirSync(dir, { recursive: true })
  const file = join(dir, 'spillway.yaml')
  const spoolDir = options.spoolDir ?? join(dir, 'spool')
  const files = `files: { type: file, path: '${dir}/logs/{service}/{date}.ndjson', rotate: { size: ${options.rotate ?? '256KiB'} }, ${options.upkeep ?? ''} }`
  writeFileSync(
    file,
    `spool: { dir: '${spoolDir}', maxBytes: ${options.maxBytes ?? '8MiB'}, fsync: ${options.fsync ?? '50ms'} }\nsinks: { ${options.sinks ?? files} }\n`,
  )
  return ['-c', file]
}

/** An application that logs numbered lines until it is stopped: so many every 5 ms, each with so many bytes more. */
export async function startSteady(
  collector: { readonly env: Record<string, string> },
  { service = 'steady', perTick = 5, padBytes = 1_000 }: { service?: string; perTick?: number; padBytes?: number } = {},
): Promise<RunningProcess> {
  const app = startNode([join(root, 'test/collector/apps/steady.mjs'), service, String(perTick), String(padBytes)], { env: collector.env })
  await app.says(/ready/)
  return app
}

/** Ends the application and returns how many lines it has logged. */
export async function stopSteady(app: RunningProcess): Promise<number> {
  app.kill('SIGTERM')
  expect(await app.ended).toEqual({ code: 0, signal: null })
  expect(app.stdout).toMatch(/logged \d+, left 0/)
  return Number(/logged (\d+)/.exec(app.stdout)?.[1])
}

export const upTo = (count: number): number[] => Array.from({ length: count }, (_, n) => n)
/** Numbers of kept lines; a line that is torn is no JSON and throws. */
export const numbersOf = (lines: readonly string[]): number[] => lines.map((line) => (JSON.parse(line) as { n: number }).n)

/** What is missing of `[0, count)` in the lines, and what is there twice. */
export function missingAndTwice(lines: readonly string[], count: number): { readonly missing: string; readonly twice: string } {
  const seen = new Set<number>()
  const twice: number[] = []
  for (const n of numbersOf(lines)) {
    if (seen.has(n)) twice.push(n)
    seen.add(n)
  }
  return { missing: ranges(upTo(count).filter((n) => !seen.has(n))), twice: ranges(twice) }
}

/** `[1, 2, 3, 7]` as `1-3 7`, for a message that can be read. */
function ranges(numbers: readonly number[]): string {
  const parts: [from: number, to: number][] = []
  for (const n of numbers) {
    const last = parts.at(-1)
    if (last !== undefined && last[1] === n - 1) last[1] = n
    else parts.push([n, n])
  }
  return parts.map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`)).join(' ')
}

export function expectBooksAddUp({ totals, origins }: CollectorStatus): void {
  for (const books of [totals, ...origins.flatMap(({ topics }) => Object.values(topics))]) {
    const lost = Object.values(books.lost).reduce((sum, records) => sum + records, 0)
    const { accepted, delivered, expired, rejected, inFlight, received, spooled, notDurable, pending } = books
    expect(accepted).toBe(delivered + lost + expired + rejected + inFlight)
    expect(received).toBe(spooled + notDurable)
    expect(received).toBe(delivered + expired + rejected + pending)
    for (const number of [accepted, delivered, expired, rejected, inFlight, received, spooled, notDurable, pending])
      expect(number).toBeGreaterThanOrEqual(0)
  }
}

/** The status once nothing is in flight; the books add up at every look. */
export async function settled(collector: TestCollector, accepted?: number): Promise<CollectorStatus> {
  let last: CollectorStatus | undefined
  try {
    return await until(
      async () => {
        last = await collector.status()
        expectBooksAddUp(last)
        return last.totals.inFlight === 0 && (accepted === undefined || last.totals.accepted === accepted) && last
      },
      { what: 'nothing is in flight', timeoutMs: 30_000 },
    )
  } catch (error) {
    throw new Error(`${error instanceof Error ? error.message : error}; last: ${JSON.stringify(last?.totals)}`, { cause: error })
  }
}

export function segmentsOf(dir: string): string[] {
  return readdirSync(dir)
    .filter((name) => name.endsWith('.spool'))
    .sort()
    .map((name) => join(dir, name))
}
