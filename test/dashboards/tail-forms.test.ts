/** What `spillway tail` filters, and the forms it writes, as a process into a pipe. */
import { describe, expect, test } from 'vitest'
import { encodeFrame, frameKinds } from '../../wire/frame.ts'
import { encodePoints, type InstrumentPoints } from '../../wire/points.ts'
import { logTopic, metricTopic } from '../../wire/topic.ts'
import { runCli, startCli } from '../cli/run-cli.ts'
import { HandMadeCollector } from './hand-made-collector.ts'

const timeMs = Date.UTC(2026, 0, 2, 3, 4, 5, 6)
const lines = [
  { level: 30, time: timeMs, msg: 'payment taken', order: 7, user: { id: 'u1', tags: ['a', 'b'] } },
  { level: 30, time: timeMs + 12, msg: 'payment declined', order: 8, res: { statusCode: 402 }, 'a.b': 1 },
  { level: 30, time: timeMs + 1_500, msg: 'say "no"\nand go', order: 9 },
].map((line) => JSON.stringify(line))
const plain = 'no JSON at all'

/** What a tail with these flags writes of the lines above, and its exit code. */
async function written(
  ...args: readonly string[]
): Promise<{ readonly rows: string[]; readonly code: number | null; readonly stderr: string }> {
  await using collector = await HandMadeCollector.open()
  await using tail = startCli(['tail', '--connect', collector.tail, '--for', '1500ms', ...args], { env: { TZ: 'Asia/Tokyo' } })
  await collector.subscribed()
  await collector.lines(logTopic('info', 'shop', 'web'), 0, [...lines, plain], timeMs)
  const { code } = await tail.ended
  return { rows: tail.stdout.split('\n').slice(0, -1), code, stderr: tail.stderr }
}

describe('filters', () => {
  test.each<[string, readonly string[], readonly number[]]>([
    ['--grep takes a text', ['--grep', 'declined'], [1]],
    ['as it stands, with its letters', ['--grep', 'Declined'], []],
    ['and nothing in it means more', ['--grep', 'd.clined'], []],
    ['--grep takes an expression', ['--grep', '/d.clined|no/'], [1, 2, 3]],
    ['that ignores case when asked', ['--grep', '/DECLINED/i'], [1]],
    ['--grep twice: any of them', ['--grep', 'taken', '--grep', 'declined'], [0, 1]],
    ['--exclude: none of them', ['--exclude', 'taken', '--exclude', '/declined/'], [2, 3]],
    ['--grep and --exclude', ['--grep', 'payment', '--exclude', 'declined'], [0]],
    ['--where takes a condition on fields', ['--where', 'order > 7'], [1, 2]],
    ['of the depth', ['--where', 'res.statusCode >= 400 && user.id != "u1" || user.id == "u1"'], [0]],
    ['on what is known beside', ['--where', 'service == "shop" && level == "info" && msg.contains("no")'], [2]],
    ['--where and --grep', ['--where', 'order >= 7', '--grep', 'payment', '--exclude', '"order":8'], [0]],
  ])('%s', async (_what, args, expected) => {
    const { rows } = await written(...args)
    expect(rows).toEqual(expected.map((place) => lines[place] ?? plain))
  })

  test('an expression that would take forever elsewhere takes a moment', async () => {
    await using collector = await HandMadeCollector.open()
    await using tail = startCli(['tail', '--connect', collector.tail, '--exclude', '/(a+)+$/', '--limit', '1'])
    await collector.subscribed()
    await collector.lines(logTopic('info', 'shop'), 0, [`${'a'.repeat(60_000)}!`])
    expect((await tail.ended).code).toBe(0)
  })

  test('--exit-status: 1 when nothing was shown, 0 when something was; without it always 0', async () => {
    expect((await written('--grep', 'nothing like it', '--exit-status')).code).toBe(1)
    expect((await written('--grep', 'payment', '--exit-status')).code).toBe(0)
    expect((await written('--grep', 'nothing like it')).code).toBe(0)
  })

  test.each([
    [['--grep', '/(/'], /--grep: \/\(\/ is no regular expression here/],
    [['--grep', ''], /--grep: expected a text/],
    [['--exclude', '/a/x'], /--exclude: unknown flag "x"/],
    [['--highlight', '/((a{100}){100}){100}/'], /--highlight: /],
    [['--highlight', '/\\d{1000}/'], /--highlight: .*too large/],
    [['--where', 'order >'], /--where/],
    [['--fields', 'a,,b'], /--fields: expected up to 50 names/],
    [['--template', '{msg'], /--template: a "\{" stands alone; write "\{\{"/],
    [['--template', '{}'], /--template: expected a field/],
    [['--time', 'noon'], /Allowed choices are local, utc, relative, none/],
    [['--wrap', '--truncate'], /cannot be used with/],
    [['--metrics', '--level', 'warn'], /nothing can match metric\.> with --level warn/],
  ])('%j is wrong usage: exit 2, and what was expected', async (args, message) => {
    await using tail = await runCli(['tail', ...args])
    expect(tail.code).toBe(2)
    expect(tail.stderr).toMatch(message)
    expect(tail.stdout).toBe('')
  })
})

describe('forms', () => {
  test('--fields in lines for programs: JSON of these, in this order, with what is known beside', async () => {
    const { rows } = await written('--fields', 'msg,user.id,user.tags.1,a.b,service,topic,nothing')
    expect(rows).toEqual([
      '{"msg":"payment taken","user.id":"u1","user.tags.1":"b","service":"shop","topic":"log.info.shop.web."}',
      '{"msg":"payment declined","a.b":1,"service":"shop","topic":"log.info.shop.web."}',
      '{"msg":"say \\"no\\"\\nand go","service":"shop","topic":"log.info.shop.web."}',
      '{"service":"shop","topic":"log.info.shop.web."}',
    ])
  })

  test('--fields for people: these behind the message', async () => {
    const { rows } = await written('--pretty', '--fields', 'user.id,order')
    expect(rows.slice(0, 2)).toEqual([
      '12:04:05.006 INFO  shop/web payment taken user.id=u1 order=7',
      '12:04:05.018 INFO  shop/web 402 payment declined order=8',
    ])
  })

  test('--template', async () => {
    const { rows } = await written('--time', 'utc', '--template', '{time} {{{level}}} {service}/{name} {msg} [{user.id}{res}]')
    expect(rows).toEqual([
      '03:04:05.006Z {info} shop/web payment taken [u1]',
      '03:04:05.018Z {info} shop/web payment declined [{"statusCode":402}]',
      '03:04:06.506Z {info} shop/web say "no"\\u000aand go []',
      '03:04:05.006Z {info} shop/web no JSON at all []',
    ])
  })

  test('--logfmt', async () => {
    const { rows } = await written('--logfmt')
    expect(rows).toEqual([
      'time=2026-01-02T03:04:05.006Z level=info service=shop msg="payment taken" order=7 user.id=u1 user.tags="[\\"a\\",\\"b\\"]"',
      'time=2026-01-02T03:04:05.018Z level=info service=shop msg="payment declined" order=8 res.statusCode=402 a.b=1',
      'time=2026-01-02T03:04:06.506Z level=info service=shop msg="say \\"no\\"\\nand go" order=9',
      'level=info service=shop msg="no JSON at all"',
    ])
    expect((await written('--logfmt', '--fields', 'order')).rows.slice(0, 2)).toEqual(['order=7', 'order=8'])
  })

  test.each([
    ['local', ['12:04:05.006 INFO', '12:04:05.018 INFO', '12:04:06.506 INFO', '12:04:05.006 INFO']],
    ['utc', ['03:04:05.006Z INFO', '03:04:05.018Z INFO', '03:04:06.506Z INFO', '03:04:05.006Z INFO']],
    ['relative', ['  +0.000s INFO', '  +0.012s INFO', '  +1.488s INFO', '  -1.500s INFO']],
    ['none', ['INFO', 'INFO', 'INFO', 'INFO']],
  ])('--time %s', async (form, expected) => {
    const { rows } = await written('--pretty', '--time', form)
    expect(rows.map((row) => row.replace(/INFO.*/, 'INFO'))).toEqual(expected)
  })

  test('values of several lines are folded, and those without end cut', async () => {
    const { rows } = await written('--pretty', '--grep', 'and go')
    expect(rows).toEqual(['12:04:06.506 INFO  shop/web say "no" … 1 more line order=9'])
  })
})

describe('--metrics', () => {
  const described = { unit: '1', description: '' }
  const instruments: readonly InstrumentPoints[] = [
    { name: 'payments', type: 'counter', ...described, points: [{ attributes: '{"route":"/pay"}', value: 3 }] },
    { name: 'heap', type: 'gauge', unit: 'By', description: '', points: [{ attributes: '{}', last: 2, min: 1, max: 5 }] },
    {
      name: 'duration',
      type: 'histogram',
      unit: 's',
      description: '',
      points: [
        {
          attributes: '{}',
          ...{ sum: 3, min: 1, max: 2, scale: 0, zeroCount: 0 },
          positive: { offset: -1, counts: [1, 1] },
          negative: { offset: 0, counts: [] },
        },
      ],
    },
  ]
  const head = { origin: 'hand-made-tail-1', seq: 0, count: 3, time: timeMs, kind: frameKinds.points, onDemand: false }
  const body = encodePoints({ startMs: timeMs - 10_000, endMs: timeMs, instruments })

  async function points(...args: readonly string[]): Promise<string[]> {
    await using collector = await HandMadeCollector.open()
    await using tail = startCli(['tail', '--metrics', '--connect', collector.tail, '--for', '1500ms', ...args], { env: { TZ: 'UTC' } })
    await collector.subscribed()
    const topic = metricTopic('shop', 'runtime')
    // Twice, and damaged: each point once.
    await collector.raw(topic, encodeFrame(head, body))
    await collector.raw(topic, encodeFrame(head, body))
    await collector.raw(topic, encodeFrame({ ...head, seq: 3 }, body.subarray(0, -1)).subarray(0, -1))
    await tail.ended
    return tail.stdout.split('\n').slice(0, -1)
  }

  test('for programs: one JSON line per point', async () => {
    const rows = await points()
    expect(rows.map((row) => JSON.parse(row))).toMatchObject([
      { time: timeMs, metric: 'payments', type: 'counter', unit: '1', attributes: { route: '/pay' }, value: 3 },
      { metric: 'heap', type: 'gauge', unit: 'By', value: 2, min: 1, max: 5 },
      { metric: 'duration', type: 'histogram', count: 2, sum: 3, min: 1, max: 2 },
    ])
  })

  test('for people', async () => {
    const rows = await points('--pretty')
    expect(rows.slice(0, 2)).toEqual([
      '03:04:05.006 POINT shop payments{route="/pay"} unit=1 value=3',
      '03:04:05.006 POINT shop heap unit=By value=2 min=1 max=5',
    ])
    expect(rows[2]).toMatch(/^03:04:05\.006 POINT shop duration unit=s count=2 sum=3 min=1 max=2 p50=\S+ p90=\S+ p99=\S+$/)
  })

  test('filtered like lines, and by service', async () => {
    expect(await points('--service', 'shop', '--where', 'metric == "heap"', '--fields', 'value')).toEqual(['{"value":2}'])
    expect(await points('--service', 'other')).toEqual([])
  })
})
