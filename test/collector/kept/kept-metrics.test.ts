import { appendFileSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { KeptMetrics } from '../../../collector/kept/kept-metrics.ts'
import type { KeptInstrument, KeptValue } from '../../../collector/kept/kept-value.ts'
import { HeatmapQuery, SeriesQuery, type Show, type Steps } from '../../../collector/kept/series-query.ts'
import { ExponentialHistogram } from '../../../wire/exponential-histogram.ts'
import { root, startNode, tempDir } from '../../support/processes.ts'
import { SeededRandom } from '../../support/seeded-random.ts'
import { until } from '../../support/until.ts'

const slotMs = 10_000
const minuteMs = 60_000
const beganMs = 1_780_000_020_000 - (1_780_000_020_000 % 3_600_000)

const described = { unit: '1', description: '' }
const counter: KeptInstrument = { service: 'shop', name: 'paid', type: 'counter', ...described }
const gauge: KeptInstrument = { service: 'shop', name: 'stock', type: 'gauge', ...described }
const histogram: KeptInstrument = { service: 'shop', name: 'took', type: 'histogram', ...described }
const buckets: KeptInstrument = { service: 'shop', name: 'size', type: 'buckets', ...described }

interface KeptInTest extends AsyncDisposable {
  readonly kept: KeptMetrics
  readonly troubles: string[]
}

async function openKept(dir: string, { seriesMax = 100, bytesMax = 2 ** 30, intervalMs = slotMs } = {}): Promise<KeptInTest> {
  const troubles: string[] = []
  const kept = new KeptMetrics({ dir, seriesMax, bytesMax, intervalMs, onTrouble: (message) => troubles.push(message) })
  await kept.open()
  return { kept, troubles, [Symbol.asyncDispose]: () => kept.close([]) }
}

function take(kept: KeptMetrics, slot: number, instrument: KeptInstrument, value: KeptValue, attributes = '{}'): void {
  kept.take({ instrument, attributes, startMs: beganMs + slot * slotMs, value })
}

const seal = (kept: KeptMetrics, slots: number) => kept.seal(beganMs + slots * slotMs, beganMs + slots * slotMs)

/** Values in the order they are told, each with the number of its slot. */
async function readAll(kept: KeptMetrics, tier: '10s' | '1m', wants: (instrument: KeptInstrument) => boolean = () => true) {
  const values: [slot: number, name: string, attributes: string, value: KeptValue][] = []
  const range = { fromMs: 0, toMs: Number.MAX_SAFE_INTEGER, wants, signal: new AbortController().signal }
  await kept.read(tier, range, [], ({ startMs }, { name }, attributes, value) =>
    values.push([(startMs - beganMs) / (tier === '10s' ? slotMs : minuteMs), name, attributes, value]),
  )
  return values
}

function filesOf(dir: string): string[] {
  return readdirSync(join(dir, 'metrics'))
    .sort()
    .map((name) => join(dir, 'metrics', name))
}

describe('what is kept', () => {
  test('is told again to the last bit, from memory, from the disk and after a restart', async () => {
    await using dir = await tempDir()
    const took = new ExponentialHistogram()
    for (const value of [0, -3, 1e-9, 0.012, 0.5, 7, 1e12]) took.record(value)
    const values: readonly (readonly [KeptInstrument, KeptValue])[] = [
      [counter, { kind: 'counter', delta: 0.1 + 0.2 }],
      [gauge, { kind: 'level', sum: -1.5, processes: 3, min: -1e300, max: 2 ** 53, last: 1 / 3 }],
      [histogram, { kind: 'histogram', histogram: took.value() }],
      [buckets, { kind: 'buckets', sum: 9.25, bounds: [0.1, 1, 10], counts: [1, 0, 2 ** 40, 3] }],
    ]
    const expected = [0, 1, 2, 3, 4, 5].flatMap((slot) => values.map(([{ name }, value]) => [slot, name, '{"a":1}', value]))
    {
      await using opened = await openKept(dir.path)
      const { kept } = opened
      for (let slot = 0; slot < 6; slot += 1) for (const [instrument, value] of values) take(kept, slot, instrument, value, '{"a":1}')
      expect(await readAll(kept, '10s')).toEqual(expected)
      seal(kept, 6)
      expect(await readAll(kept, '10s')).toEqual(expected)
      await until(() => kept.status().oldestMs['1m'] !== null, { what: 'the minute is written' })
      expect(await readAll(kept, '10s')).toEqual(expected)
    }
    await using opened = await openKept(dir.path)
    expect(await readAll(opened.kept, '10s')).toEqual(expected)
    expect(await readAll(opened.kept, '10s', ({ name }) => name === 'took')).toEqual(expected.filter(([, name]) => name === 'took'))
    const minute = new ExponentialHistogram()
    for (let slot = 0; slot < 6; slot += 1) minute.merge(took.value())
    expect(await readAll(opened.kept, '1m')).toEqual([
      [0, 'paid', '{"a":1}', { kind: 'counter', delta: 6 * (0.1 + 0.2) }],
      [0, 'stock', '{"a":1}', values[1]?.[1]],
      [0, 'took', '{"a":1}', { kind: 'histogram', histogram: minute.value() }],
      [0, 'size', '{"a":1}', { kind: 'buckets', sum: 6 * 9.25, bounds: [0.1, 1, 10], counts: [6, 0, 6 * 2 ** 40, 18] }],
    ])
  })

  test('shorter windows share a slot, and longer ones have their own', async () => {
    await using dir = await tempDir()
    await using short = await openKept(dir.path, { intervalMs: 1_000 })
    for (let second = 0; second < 20; second += 1)
      short.kept.take({ instrument: counter, attributes: '{}', startMs: beganMs + 1_000 * second, value: { kind: 'counter', delta: 1 } })
    short.kept.seal(beganMs + 15_000, beganMs)
    expect(await readAll(short.kept, '10s')).toEqual([0, 1].map((slot) => [slot, 'paid', '{}', { kind: 'counter', delta: 10 }]))
    await using other = await tempDir()
    await using long = await openKept(other.path, { intervalMs: 300_000 })
    for (const i of [0, 1])
      long.kept.take({ instrument: counter, attributes: '{}', startMs: beganMs + 300_000 * i, value: { kind: 'counter', delta: 1 } })
    long.kept.seal(beganMs + 600_000, beganMs)
    expect((await readAll(long.kept, '10s')).map(([slot]) => slot)).toEqual([0, 30])
    expect((await readAll(long.kept, '1m')).map(([slot]) => slot)).toEqual([0, 5])
  })

  test('a minute that was not over goes on after a restart', async () => {
    await using dir = await tempDir()
    const killed = await openKept(dir.path)
    for (let slot = 0; slot < 15; slot += 1) take(killed.kept, slot, counter, { kind: 'counter', delta: 1 })
    seal(killed.kept, 15)
    await killed.kept.close([])
    await using opened = await openKept(dir.path)
    for (let slot = 15; slot < 18; slot += 1) take(opened.kept, slot, counter, { kind: 'counter', delta: 1 })
    seal(opened.kept, 18)
    expect((await readAll(opened.kept, '1m')).map(([slot, , , value]) => [slot, value])).toEqual(
      [0, 1, 2].map((minute) => [minute, { kind: 'counter', delta: 6 }]),
    )
  })

  test('what an orderly end cut a window into adds up', async () => {
    await using dir = await tempDir()
    const first = await openKept(dir.path)
    take(first.kept, 0, counter, { kind: 'counter', delta: 3 })
    await first.kept.close([{ instrument: counter, attributes: '{}', startMs: beganMs + slotMs, value: { kind: 'counter', delta: 4 } }])
    await using second = await openKept(dir.path)
    take(second.kept, 1, counter, { kind: 'counter', delta: 5 })
    seal(second.kept, 6)
    const steps = { fromMs: beganMs, stepMs: slotMs, count: 2 }
    expect(await answered(second.kept, '10s', counter, steps, 'sum')).toEqual([3, 9])
    expect(await answered(second.kept, '1m', counter, { ...steps, stepMs: minuteMs, count: 1 }, 'sum')).toEqual([12])
  })
})

async function answered(
  kept: KeptMetrics,
  tier: '10s' | '1m',
  { name }: KeptInstrument,
  steps: Steps,
  show: Show,
): Promise<readonly (number | null)[]> {
  const query = new SeriesQuery(steps, show, { by: [], where: [] })
  const range = { fromMs: steps.fromMs, toMs: steps.fromMs + steps.stepMs * steps.count, signal: new AbortController().signal }
  await kept.read(tier, { ...range, wants: (instrument) => instrument.name === name }, [], query.visit)
  return query.finish()[0]?.values ?? []
}

describe('damage', () => {
  test('a file cut at any byte of its last slot keeps all others, and is gone on with', async () => {
    await using dir = await tempDir()
    {
      await using opened = await openKept(dir.path)
      for (let slot = 0; slot < 3; slot += 1) take(opened.kept, slot, counter, { kind: 'counter', delta: slot + 0.5 })
      seal(opened.kept, 3)
    }
    const [file = ''] = filesOf(dir.path)
    const whole = readFileSync(file)
    await using untouched = await openKept(dir.path)
    const all = await readAll(untouched.kept, '10s')
    const lastBytes = 9 + 16 + 1 + 4 + 1 + 5
    for (let cut = 1; cut < lastBytes; cut += 1) {
      writeFileSync(file, whole)
      truncateSync(file, whole.length - cut)
      const opened = await openKept(dir.path)
      expect(await readAll(opened.kept, '10s'), `cut by ${cut}`).toEqual(all.slice(0, 2))
      expect(statSync(file).size).toBe(whole.length - lastBytes)
      take(opened.kept, 2, counter, { kind: 'counter', delta: 2.5 })
      await opened.kept.close([])
      expect(readFileSync(file)).toEqual(whole)
    }
  })

  test('bits flipped anywhere, and files of anything: it starts, and tells nothing that was not kept', async () => {
    const seeded = new SeededRandom(Math.floor(2 ** 32 * Math.random()))
    const random = () => seeded.next()
    console.log(`seed ${seeded.seed}`)
    await using dir = await tempDir()
    {
      await using opened = await openKept(dir.path)
      for (let slot = 0; slot < 30; slot += 1) take(opened.kept, slot, counter, { kind: 'counter', delta: slot + 0.5 }, `{"slot":${slot}}`)
      seal(opened.kept, 30)
    }
    const files = filesOf(dir.path).map((file) => [file, readFileSync(file)] as const)
    await using untouched = await openKept(dir.path)
    const all = new Set((await readAll(untouched.kept, '10s')).map((value) => JSON.stringify(value)))
    expect(all.size).toBe(30)
    let missing = 0
    for (let round = 0; round < 200; round += 1) {
      for (const [file, whole] of files) {
        const bytes = Buffer.from(whole)
        const at = Math.floor(random() * bytes.length)
        bytes[at] = (bytes[at] ?? 0) ^ (1 << Math.floor(random() * 8))
        writeFileSync(file, bytes)
      }
      const opened = await openKept(dir.path)
      const values = await readAll(opened.kept, '10s')
      for (const value of values) expect(all.has(JSON.stringify(value)), JSON.stringify(value)).toBe(true)
      missing += 30 - values.length
      await opened.kept.close([])
    }
    expect(missing).toBeGreaterThan(0)
    writeFileSync(join(dir.path, 'metrics', '10s-1.kept'), 'x'.repeat(100))
    writeFileSync(join(dir.path, 'metrics', 'notes.txt'), 'mine')
    await using opened = await openKept(dir.path)
    await readAll(opened.kept, '1m')
    expect(filesOf(dir.path).map((file) => file.split('/').at(-1))).toContain('notes.txt')
  })

  test('killed while it writes, again and again, it has every slot whole that is there, and none is missing before it', async () => {
    await using dir = await tempDir()
    const random = new SeededRandom(7)
    let slots = 0
    let torn = 0
    let round = 0
    // However slow the disk is: there are to be some minutes.
    for (; round < 12 || slots < 30; round += 1) {
      const args = [join(root, 'test/collector/apps/kept-writer.mjs'), dir.path, String(beganMs), String(slots)]
      await using writer = startNode(args)
      const until = slots + random.integer(5, 120)
      await writer.says(new RegExp(`^${until}$`, 'm'))
      writer.kill('SIGKILL')
      await writer.ended
      expect(writer.stderr).toBe('')
      const sizes = filesOf(dir.path).map((file) => statSync(file).size)
      await using opened = await openKept(dir.path)
      if (filesOf(dir.path).some((file, i) => statSync(file).size < (sizes[i] ?? 0))) torn += 1
      const bySlot = new Map<number, KeptValue[]>()
      for (const [slot, , , value] of await readAll(opened.kept, '10s')) bySlot.set(slot, [...(bySlot.get(slot) ?? []), value])
      slots = bySlot.size
      expect([...bySlot.keys()]).toEqual([...bySlot.keys()].map((_, i) => i))
      for (const [slot, values] of bySlot)
        expect(values).toEqual(Array.from({ length: 50 }, (_, i) => ({ kind: 'counter', delta: slot + i / 100 })))
      // Every minute that was over is there once, whole; the last one perhaps in pieces.
      const minutes = new Map<number, number>()
      for (const [at, , attributes, value] of await readAll(opened.kept, '1m')) {
        const minute = Math.floor(at)
        if (attributes !== '{"i":0}' || 6 * (minute + 1) > slots || value.kind !== 'counter') continue
        minutes.set(minute, (minutes.get(minute) ?? 0) + value.delta)
      }
      expect(minutes.size).toBe(Math.floor(slots / 6))
      for (const [minute, delta] of minutes) expect(delta).toBe(6 * 6 * minute + 15)
    }
    console.log(`${slots} slots, ${torn} of ${round} kills left a torn end`)
  })

  test('what is appended behind the end by somebody else is cut off', async () => {
    await using dir = await tempDir()
    {
      await using opened = await openKept(dir.path)
      take(opened.kept, 0, counter, { kind: 'counter', delta: 1 })
      seal(opened.kept, 1)
    }
    const [file = ''] = filesOf(dir.path)
    const { size } = statSync(file)
    appendFileSync(file, Buffer.alloc(10_000, 0xff))
    await using opened = await openKept(dir.path)
    expect(await readAll(opened.kept, '10s')).toHaveLength(1)
    expect(statSync(file).size).toBe(size)
  })
})

describe('bounds', () => {
  test('series there is no room for are counted; those that are there go on', async () => {
    await using dir = await tempDir()
    await using opened = await openKept(dir.path, { seriesMax: 5 })
    for (let slot = 0; slot < 2; slot += 1)
      for (let i = 0; i < 8; i += 1) take(opened.kept, slot, counter, { kind: 'counter', delta: i }, `{"i":${i}}`)
    seal(opened.kept, 2)
    await until(async () => (await readAll(opened.kept, '10s')).length === 2 * 5, { what: 'five series are there' })
    expect(opened.kept.status()).toMatchObject({ series: 5, seriesMax: 5, valuesNotKept: 2 * 3, slotsLost: 0 })
  })

  test('files are removed when they are older than they are kept, and the oldest when there are too many bytes', async () => {
    await using dir = await tempDir()
    const bytesMax = 200_000
    {
      await using opened = await openKept(dir.path, { bytesMax })
      for (let slot = 0; slot < 10 * 360; slot += 1) {
        for (let i = 0; i < 20; i += 1)
          take(opened.kept, slot, gauge, { kind: 'level', sum: slot / 7, processes: 2, min: -1.1, max: 1.1, last: 0.3 }, `{"i":${i}}`)
        seal(opened.kept, slot + 1)
        if (slot % 50 === 0) await readAll(opened.kept, '10s', () => false)
      }
      await until(() => opened.kept.status().bytes <= bytesMax, { what: 'there is less' })
      expect(opened.troubles).toEqual([])
    }
    const bytes = filesOf(dir.path).reduce((sum, file) => sum + statSync(file).size, 0)
    expect(bytes).toBeLessThanOrEqual(bytesMax + bytesMax / 16 + 5_000)
    expect(bytes).toBeGreaterThan(bytesMax / 4)
    await using other = await tempDir()
    await using opened = await openKept(other.path)
    for (let slot = 0; slot < 9 * 360; slot += 1) {
      take(opened.kept, slot, counter, { kind: 'counter', delta: 1 })
      seal(opened.kept, slot + 1)
      if (slot % 50 === 0) await readAll(opened.kept, '10s', () => false)
    }
    await opened.kept.close([])
    // Six hours, and the file of the hour they begin in.
    const first = opened.kept.status().oldestMs['10s'] ?? 0
    expect(first).toBeGreaterThanOrEqual(beganMs + 2 * 3_600_000)
    expect(first).toBeLessThanOrEqual(beganMs + 3 * 3_600_000)
    expect(opened.kept.status().oldestMs['1m']).toBe(beganMs)
  })

  test('a series takes no more than is documented', async () => {
    const bytesOf = async (instrument: KeptInstrument, value: (slot: number) => KeptValue) => {
      await using dir = await tempDir()
      const sizeWith = async (series: number) => {
        await using opened = await openKept(dir.path)
        for (let slot = 0; slot < 5; slot += 1)
          for (let i = 0; i < series; i += 1) take(opened.kept, slot, instrument, value(slot), `{"i":${i}}`)
        seal(opened.kept, 5)
        await until(async () => (await readAll(opened.kept, '10s')).length >= 5 * series, { what: 'it is written' })
        await opened.kept.close([])
        return opened.kept.status().bytes
      }
      const names = 40
      return ((await sizeWith(100)) - 100 * names) / (5 * 100)
    }
    const seeded = new SeededRandom(1)
    const random = () => seeded.next()
    expect(await bytesOf(counter, () => ({ kind: 'counter', delta: random() }))).toBeLessThan(12)
    const level = () => ({ kind: 'level' as const, sum: random(), processes: 4, min: random(), max: random(), last: random() })
    expect(await bytesOf(gauge, level)).toBeLessThan(47)
    const took = new ExponentialHistogram()
    for (let i = 0; i < 1_000; i += 1) took.record(1 + random())
    took.coarsenTo(5)
    expect(took.value().positive.counts.length).toBeGreaterThan(30)
    expect(await bytesOf(histogram, () => ({ kind: 'histogram', histogram: took.value() }))).toBeLessThan(90)
  })
})

describe('what charts show', () => {
  test('percentiles and heat maps are those of all values together, however they came in pieces', async () => {
    const seeded = new SeededRandom(Math.floor(2 ** 32 * Math.random()))
    const random = () => seeded.next()
    console.log(`seed ${seeded.seed}`)
    await using dir = await tempDir()
    await using opened = await openKept(dir.path)
    const steps = { fromMs: beganMs, stepMs: 30_000, count: 4 }
    const all = Array.from({ length: steps.count }, () => new ExponentialHistogram())
    for (let slot = 0; slot < 12; slot += 1) {
      for (const series of ['{"route":"/a"}', '{"route":"/b"}']) {
        const part = new ExponentialHistogram()
        // Parts differ in scale: some are narrow, some wide.
        const spread = 10 ** Math.floor(6 * random())
        for (let i = 0; i < 50; i += 1) {
          const value = random() < 0.05 ? 0 : random() * spread
          part.record(value)
          all[Math.floor(slot / 3)]?.record(value)
        }
        take(opened.kept, slot, histogram, { kind: 'histogram', histogram: part.value() }, series)
      }
      if (slot % 2 === 0) seal(opened.kept, slot)
    }
    expect(await answered(opened.kept, '10s', histogram, steps, 'rate')).toEqual(all.map(() => (2 * 3 * 50) / 30))
    const p99 = await answered(opened.kept, '10s', histogram, steps, 'p99')
    for (const [i, whole] of all.entries()) {
      // Merged, it is as coarse as its coarsest part: exactly what one histogram would be, made as coarse.
      const value = p99[i] ?? Number.NaN
      expect(Math.abs(value / (whole.quantile(0.99) ?? 0) - 1)).toBeLessThan(0.1)
    }
    const heatmap = new HeatmapQuery(steps, { by: [], where: [] })
    const range = { fromMs: 0, toMs: Number.MAX_SAFE_INTEGER, wants: () => true, signal: new AbortController().signal }
    await opened.kept.read('10s', range, [], heatmap.visit)
    const { bounds, counts } = heatmap.finish()
    for (const [i, column] of counts.entries()) {
      expect(column).toHaveLength(bounds.length - 1)
      expect(column.reduce((sum, count) => sum + count, 0)).toBe(all[i]?.count)
      expect(column[0]).toBe(all[i]?.zeroCount)
    }
    expect([...bounds].sort((a, b) => a - b)).toEqual(bounds)
  })

  test('gauges add up beside each other and are averaged over time; labels, conditions and shows', () => {
    const steps = { fromMs: beganMs, stepMs: 20_000, count: 2 }
    const run = (show: Show, by: readonly string[] = [], where: readonly (readonly [string, string])[] = []) => {
      const query = new SeriesQuery(steps, show, { by, where })
      const at = (slot: number) => ({ startMs: beganMs + slot * slotMs, endMs: beganMs + (slot + 1) * slotMs })
      const level = (sum: number, min: number, max: number): KeptValue => ({ kind: 'level', sum, processes: 2, min, max, last: sum })
      query.visit(at(0), gauge, '{"item":"pot"}', level(10, 1, 9))
      query.visit(at(0), gauge, '{"item":"cup"}', level(100, 20, 30))
      query.visit(at(1), gauge, '{"item":"pot"}', level(20, 0, 12))
      query.visit(at(1), gauge, '{"item":"cup"}', level(100, 20, 30))
      return query.finish().map(({ labels, values }) => [{ ...labels }, values])
    }
    expect(run('sum')).toEqual([[{}, [115, null]]])
    expect(run('mean')).toEqual([[{}, [115 / 4, null]]])
    expect(run('min')).toEqual([[{}, [0, null]]])
    expect(run('max')).toEqual([[{}, [30, null]]])
    expect(run('sum', ['item', 'service'])).toEqual([
      [{ item: 'pot', service: 'shop' }, [15, null]],
      [{ item: 'cup', service: 'shop' }, [100, null]],
    ])
    expect(run('sum', [], [['item', 'pot']])).toEqual([[{}, [15, null]]])
    expect(run('sum', [], [['service', 'other']])).toEqual([])
  })
})
