/** Defects that seeds have shown, each reduced to what it takes. */
import { describe, expect, test } from 'vitest'
import { decodeFrame, frameKinds } from '../../wire/frame.ts'
import { levels } from '../../wire/level.ts'
import { reconnectMaxMs, wantedSettleMs } from '../../wire/limits.ts'
import { readManifest } from '../../wire/manifest.ts'
import { Random } from './random.ts'
import { SimulatedApplication } from './simulated-application.ts'
import { SimulatedCollector } from './simulated-collector.ts'
import { type Host, SimulatedNetwork, type Weather } from './simulated-network.ts'
import { VirtualTime } from './virtual-time.ts'

const calm: Weather = {
  pipeFrames: 16,
  queueFrames: 16,
  latencyMs: 0.1,
  frameMs: 0.01,
  readMs: 0.01,
  frameLoss: 0,
  manifestLoss: 0,
  controlLoss: 0,
  unseenCrashes: 0,
  withoutManifests: false,
}

function world(
  seed = 1,
  weather: Weather = calm,
): {
  readonly time: VirtualTime
  readonly network: SimulatedNetwork
  readonly random: Random
  readonly seed: number
} {
  const time = new VirtualTime()
  const random = new Random(seed)
  return { time, random, network: new SimulatedNetwork(time, random, weather), seed }
}

const program = {
  service: 'shop',
  collectors: ['sim://0'],
  ringBytes: 1_000_000,
  burstRecordsMax: 6,
  betweenBurstsMs: 30,
  size: 'short',
  hasOneNumberSpace: false,
} as const

test('a manifest that goes out between two batches of one turn does not say that the second was sent, or is gone', async () => {
  const { time, network, random, seed } = world()
  const sent = new Map<string, number>()
  let [manifests, waiting] = [0, 0]
  const host: Host = {
    prefixes: ['log.', 'sys.', 'sys.run.one.'],
    arrived: ({ topic, frame }) => {
      const decoded = decodeFrame(frame)
      if (!decoded.ok) throw new Error(decoded.fault)
      const { kind, seq, count, body } = decoded.frame
      if (kind !== frameKinds.manifest) return void sent.set(topic.toString(), seq + count)
      manifests += 1
      for (const [name, told] of readManifest(body)?.topics ?? []) {
        if (told.lead > told.sent) waiting += 1
        expect(told.sent, `${name} up to`).toBeLessThanOrEqual(sent.get(name) ?? 0)
        // Nothing is acknowledged here and the ring is large: everything is still held.
        expect(told.trail, `${name} from`).toBe(0)
      }
    },
  }
  network.listen(['sim://0', 'sim://0/control'], host)
  new SimulatedApplication({ time, network, random, seed }, { ...program, ringBytes: 64_000_000 })
  await time.runFor(30_000)
  expect(manifests).toBeGreaterThan(100)
  // The case there was something wrong with.
  expect(waiting).toBeGreaterThan(10)
})

test('a program that was held up in the middle of what a collector asks for does not take the first half for all of it', async () => {
  for (let seed = 1; seed <= 30; seed += 1) {
    const { time, network, random } = world(seed)
    const prefixes = [...levels.map((level) => `log.${level}.`), 'sys.', 'sys.run.one.']
    network.listen(['sim://0', 'sim://0/control'], { prefixes, arrived: () => undefined })
    const { agent, process } = new SimulatedApplication({ time, network, random, seed }, { ...program, betweenBurstsMs: 5 })
    while (agent.links[0]?.state !== 'connected') await time.runFor(0.1)
    process.stopFor(10 * wantedSettleMs)
    await time.runFor(20 * wantedSettleMs)
    expect(agent.stats().filtered, `seed ${seed}`).toBe(0)
    expect([...(agent.links[0]?.wanted ?? [])].sort()).toEqual(prefixes.slice(0, levels.length).sort())
  }
})

test('memory of a frame is not used again while a second way to the same collector still has it, although both heard that it is kept', async () => {
  const { time, network, random, seed } = world(1, { ...calm, frameMs: 30 })
  const collector = new SimulatedCollector('collector', ['log.>'], {
    time,
    network,
    addresses: ['sim://0', 'sim://0/control', 'sim://1', 'sim://1/control'],
    disk: { writeMs: 1, syncMs: 1, segmentBytes: 100_000_000 },
    syncEveryMs: 20,
    sinkMs: 1,
    read: (_origin, topic, lines, count) => application.read(topic, lines, count),
  })
  collector.start()
  const collectors = ['sim://0', 'sim://1']
  const application = new SimulatedApplication(
    { time, network, random, seed },
    { ...program, collectors, ringBytes: 8_000_000, size: 'long' },
  )
  application.stopLogging()
  await time.runFor(1_000)
  const stream = application.agent.logStream(2, undefined)
  const { batcher } = application.agent
  const [rounds, bursts, lines] = [10, 8, 600]
  for (let round = 0; round < rounds; round += 1) {
    // The second way is away for a moment. When it is back, the first has brought the frames and the answer is near.
    application.process.sockets[1]?.cutData('seen')
    for (let burst = 0; burst < bursts; burst += 1) {
      for (let n = 0; n < lines; n += 1) batcher.append(stream, application.payloadOf(stream.topic).line(stream.next + stream.count))
      await time.runFor(60)
    }
  }
  await time.runFor(5_000)
  expect(network.counts.framesLostInPipes).toBeGreaterThan(0)
  expect(collector.content.kept(application.agent.origin, stream.topic).size).toBe(rounds * bursts * lines)
  expect(collector.content).toMatchObject({ forged: 0, duplicates: 0 })
})

describe('a goodbye', () => {
  test('that a collector did not live to answer is said again to the one that takes its place between two looks', async () => {
    const { time, network, random, seed } = world()
    const collector = new SimulatedCollector('collector', ['log.>'], {
      time,
      network,
      addresses: ['sim://0', 'sim://0/control'],
      disk: { writeMs: 1, syncMs: 20, segmentBytes: 1_000_000 },
      syncEveryMs: 20,
      sinkMs: 1,
      read: (_origin, topic, lines, count) => application.read(topic, lines, count),
    })
    collector.start()
    const application = new SimulatedApplication({ time, network, random, seed }, program)
    await time.runFor(2_000)
    const deadlineMs = 10 * reconnectMaxMs
    application.close(deadlineMs)
    const origin = () => collector.run?.ledger?.origins.get(application.agent.origin)
    while (origin()?.state !== 'finished') await time.runFor(1)
    expect(application.state).toBe('closing')
    application.process.stopFor(2 * reconnectMaxMs)
    collector.crash('machine')
    collector.start()
    // What the first run had not written down it does not know.
    expect(origin()?.state).not.toBe('finished')
    await time.runFor(deadlineMs / 2)
    expect([application.state, origin()?.state]).toEqual(['closed', 'finished'])
  })
})
