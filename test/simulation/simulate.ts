/**
 * One seed: programs that log, collectors that keep, a network between them, and everything that can go wrong for some
 * seconds; then calm, in which the books have to come right.
 */
import { checkRunning, checkSettled, checkUnclean } from './check-books.ts'
import { Random } from './random.ts'
import { SimulatedApplication } from './simulated-application.ts'
import { SimulatedCollector } from './simulated-collector.ts'
import { type NetworkCounts, SimulatedNetwork } from './simulated-network.ts'
import { VirtualTime } from './virtual-time.ts'

/** What is left out on purpose, to see that it would be missed. */
export interface Crippled {
  readonly withoutManifests?: boolean
  readonly hasOneNumberSpace?: boolean
  /** Every collector's disk fails and every collector crashes, and nobody holds what it alone knew. */
  readonly withoutNotes?: boolean
}

export interface Outcome {
  readonly seed: number
  /** What is wrong, a sentence each. */
  readonly violations: readonly string[]
  readonly counts: Counts
}

/** Summed over everything; that a fault has been one is seen here. */
export type Counts = Record<CountName, number>
export type CountName =
  | keyof NetworkCounts
  | 'events'
  | 'virtualMs'
  | 'accepted'
  | 'delivered'
  | 'lostEvicted'
  | 'lostUnanswered'
  | 'lostGone'
  | 'lostOverload'
  | 'unknownTail'
  | 'evicted'
  | 'kills'
  | 'exits'
  | 'closes'
  | 'stops'
  | 'diskFailures'
  | 'crashes'
  | 'rolledBack'
  | 'crashesOnBadDisk'
  | 'turnedAway'
  | 'notDurable'
  | 'requests'
  | 'requestedRecords'
  | 'duplicates'
  | 'late'
  | 'finished'
  | 'notFinished'

const looksInStorm = 20
const settleMs = 45_000
const freshWithinMs = 10_000
/** Origins that are silent for ten minutes are given up. */
const givenUpMs = 660_000

export async function simulate(seed: number, crippled: Crippled = {}): Promise<Outcome> {
  const world = new World(seed, crippled)
  try {
    await world.run()
  } catch (error) {
    world.violations.push(`it threw: ${error instanceof Error ? error.stack : error}`)
  }
  return { seed, violations: world.violations, counts: world.counts() }
}

class World {
  readonly violations: string[] = []
  readonly time = new VirtualTime()
  readonly network: SimulatedNetwork
  readonly collectors: SimulatedCollector[] = []
  readonly applications: SimulatedApplication[] = []
  readonly #seed: number
  readonly #crippled: Crippled
  readonly #random: Random
  readonly #tally = { kills: 0, exits: 0, closes: 0, stops: 0, diskFailures: 0 }
  readonly #stormMs: number
  #isStormy = true
  #books: ReturnType<typeof checkSettled>['books'] = []

  constructor(seed: number, crippled: Crippled) {
    this.#seed = seed
    this.#crippled = crippled
    this.#random = new Random(seed)
    const random = this.#random.fork('weather')
    this.network = new SimulatedNetwork(this.time, this.#random.fork('network'), {
      pipeFrames: random.pick([2, 4, 8, 16]),
      queueFrames: random.pick([2, 4, 16]),
      latencyMs: random.pick([0.1, 1, 5, 20]),
      frameMs: random.pick([0.02, 0.2, 1, 4]),
      readMs: random.pick([0.01, 0.05, 0.5, 2]),
      frameLoss: random.pick([0, 0, 0, 0.01, 0.05]),
      manifestLoss: random.pick([0, 0, 0.1, 0.4]),
      controlLoss: random.pick([0, 0, 0.1, 0.4, 0.9]),
      unseenCrashes: 0.15,
      withoutManifests: crippled.withoutManifests === true,
    })
    // A hole is given up after eight seconds of asking: some storms last longer, with less in each second of them.
    this.#stormMs = random.pick([4_000, 5_000, 5_000, 15_000])
    this.#buildCollectors()
    this.#buildApplications()
  }

  #buildCollectors(): void {
    const random = this.#random.fork('collectors')
    const filters: readonly string[][] = [['log.>'], ['log.>'], ['log.error.>', 'log.warn.>'], ['log.*.shop.db.>'], ['log.info.>']]
    const places = random.pick([1, 1, 2])
    for (let index = 0; index < places; index += 1) {
      const isWayOfItsOwn = random.chance(0.3)
      const address = `sim://${index}`
      const ways = isWayOfItsOwn ? [address, `${address}/again`] : [address]
      // The first keeps everything, so that something always is; unless only a filtered one shows what is to be shown.
      const isFiltered = index > 0 || this.#crippled.hasOneNumberSpace === true
      const patterns = isFiltered ? (filters[random.below(filters.length)] ?? ['log.>']) : ['log.>']
      const collector = new SimulatedCollector(`collector-${index}`, patterns, {
        time: this.time,
        network: this.network,
        addresses: ways.flatMap((way) => [way, `${way}/control`]),
        disk: {
          writeMs: random.pick([0.1, 5, 20]),
          syncMs: random.pick([1, 10, 100]),
          segmentBytes: random.pick([20_000, 100_000, 1_000_000]),
        },
        syncEveryMs: random.pick([20, 200, 200]),
        sinkMs: random.pick([0.1, 5, 100]),
        read: (origin, topic, lines, count) => {
          const writer = this.applications.find(({ agent }) => agent.origin === origin)
          return writer?.read(topic, lines, count) ?? { from: 0, isGenuine: false }
        },
        withoutNotes: this.#crippled.withoutNotes === true,
        toldUpTo: (origin, topic, addresses) => {
          const agent = this.applications.find((application) => application.agent.origin === origin)?.agent
          const links = agent?.links.filter(({ endpoints }) => addresses.includes(endpoints.data)) ?? []
          return Math.min(...links.map(({ index }) => agent?.stream(topic)?.acknowledged[index] ?? 0))
        },
      })
      this.collectors.push(collector)
      // Some come late.
      if (random.chance(0.25)) this.time.after(random.between(100, 3_000), () => collector.start())
      else collector.start()
    }
  }

  #buildApplications(): void {
    const random = this.#random.fork('programs')
    for (let index = 0; index < random.pick([1, 2, 2, 3]); index += 1) this.#startApplication(random.pick(['shop', 'mail']), index)
  }

  #startApplication(service: string, index: number): void {
    const random = this.#random.fork(`program ${index} ${this.applications.length}`)
    const isBulky = random.chance(0.15)
    const slowness = this.#stormMs / 5_000
    const application = new SimulatedApplication(
      { seed: this.#seed, time: this.time, network: this.network, random },
      {
        service,
        collectors: this.collectors.flatMap(({ addresses }) => addresses.filter((address) => !address.endsWith('/control'))),
        ringBytes: isBulky ? 400_000 : random.pick([4_000, 12_000, 60_000, 1_000_000]),
        burstRecordsMax: isBulky ? 1_200 : random.pick([3, 30, 120]),
        betweenBurstsMs: slowness * (isBulky ? 250 : random.pick([10, 40, 150])),
        size: isBulky ? 'long' : random.pick(['short', 'mixed', 'mixed']),
        hasOneNumberSpace: this.#crippled.hasOneNumberSpace === true,
      },
    )
    this.applications.push(application)
    this.#plagueApplication(application, service, index, random.fork('faults'))
  }

  // ── faults ──

  #plagueApplication(application: SimulatedApplication, service: string, index: number, random: Random): void {
    const cutEveryMs = random.pick([Number.POSITIVE_INFINITY, 4_000, 800])
    for (const sockets of application.process.sockets) {
      this.#again(random, cutEveryMs, () => sockets.cutData(random.chance(0.2) ? 'unseen' : 'seen'))
      this.#again(random, 2 * cutEveryMs, () => sockets.cutControl(random.chance(0.2) ? 'unseen' : 'seen'))
    }
    this.#again(random, random.pick([Number.POSITIVE_INFINITY, 2_000]), () => {
      this.#tally.stops += 1
      application.process.stopFor(random.between(50, 1_500))
    })
    if (!random.chance(0.5)) return
    this.time.after(random.between(200, this.#stormMs), () => {
      if (application.state !== 'running') return
      const end = random.pick(['close', 'close', 'exit', 'kill', 'kill'])
      if (end === 'close') {
        this.#tally.closes += 1
        application.close(random.pick([100, 2_000, 5_000]))
      } else if (end === 'exit') {
        this.#tally.exits += 1
        application.exit()
      } else {
        this.#tally.kills += 1
        application.kill()
      }
      if (this.#isStormy && this.applications.length < 6) this.#startApplication(service, index)
    })
  }

  #plagueCollector(collector: SimulatedCollector, random: Random): void {
    const { time } = this
    const { disk } = collector
    const isFailing = this.#crippled.withoutNotes === true || random.chance(0.25)
    if (isFailing) {
      this.#again(random, 2_000, () => {
        this.#tally.diskFailures += 1
        disk.failingUntilMs = time.nowMs + random.between(50, 2_000)
      })
    }
    this.#again(random, random.pick([Number.POSITIVE_INFINITY, 4_000, 1_500]), () => {
      // What a disk that fails did not take is acknowledged when the sinks have it: nothing is promised should the power go.
      collector.crash(isFailing ? 'process' : random.pick(['process', 'machine']))
      time.after(random.between(20, 2_500), () => collector.start())
    })
    const pauseEveryMs = random.pick([Number.POSITIVE_INFINITY, 1_500])
    this.#again(random, pauseEveryMs, () => collector.run?.listener?.pauseFor(random.between(50, 1_000)))
    this.#again(random, random.pick([Number.POSITIVE_INFINITY, 2_500]), () => {
      disk.stuckUntilMs = time.nowMs + random.between(50, 1_500)
    })
    this.#again(random, random.pick([Number.POSITIVE_INFINITY, 2_500]), () => {
      if (collector.run !== undefined) collector.run.sink.stuckUntilMs = time.nowMs + random.between(50, 3_000)
    })
  }

  /** Again and again, while the storm lasts. */
  #again(random: Random, everyMs: number, happen: () => void): void {
    if (everyMs === Number.POSITIVE_INFINITY) return
    this.time.after(random.wait(everyMs), () => {
      if (!this.#isStormy) return
      happen()
      this.#again(random, everyMs, happen)
    })
  }

  // ── the run ──

  async run(): Promise<void> {
    for (const collector of this.collectors) this.#plagueCollector(collector, this.#random.fork(`faults of ${collector.name}`))
    for (let looks = 0; looks < looksInStorm && this.violations.length === 0; looks += 1) {
      await this.time.runFor(this.#stormMs / looksInStorm)
      this.violations.push(...checkRunning(this))
    }
    this.#isStormy = false
    this.network.calm()
    for (const application of this.applications) application.stopLogging()
    for (const collector of this.collectors) collector.start()
    await this.time.runFor(settleMs)
    this.#settled('after the storm')

    for (const application of this.#running()) application.process.run(() => application.logOnEach())
    await this.time.runFor(freshWithinMs)
    this.#settled('with fresh records')
    this.#unanswered()

    for (const application of this.#running()) application.close()
    await this.time.runFor(freshWithinMs)
    const { books, violations } = checkSettled(this, 'after goodbye')
    this.violations.push(...violations)
    for (const application of this.applications) {
      if (application.state === 'closing') this.violations.push(`${application.agent.origin} has not come to its end`)
      if (application.state === 'closed' && application.process.ring.bytes > 0) this.violations.push('a closed agent holds memory')
    }
    // Now only time passes, for those that never said goodbye.
    for (const { run } of this.collectors) if (run !== undefined) run.tickEveryMs = 5_000
    await this.time.runFor(givenUpMs)
    const unclean = checkUnclean(this)
    this.violations.push(...unclean.violations)
    this.#books = [...books.filter(({ isExact }) => isExact), ...unclean.books]
    for (const { run } of this.collectors) run?.end()
  }

  #running(): SimulatedApplication[] {
    return this.applications.filter(({ state }) => state === 'running')
  }

  #settled(when: string): void {
    this.violations.push(...checkSettled(this, when).violations)
    for (const { agent, process } of this.#running()) {
      if (process.ring.records > 0) this.violations.push(`${when}: ${agent.origin} still holds ${process.ring.records} records`)
    }
  }

  /** Whoever could ask and answer all the time has lost nothing for want of an answer. */
  #unanswered(): void {
    const { controlsLost, controlCuts, manifestsLost, framesLost, cuts, halfOpen } = this.network.counts
    if (controlsLost + controlCuts + manifestsLost + framesLost + cuts + halfOpen > 0) return
    for (const { name, run } of this.collectors) {
      const unanswered = run?.ledger?.totals().lost['unanswered'] ?? 0
      if (unanswered > 0)
        this.violations.push(`${name} booked ${unanswered} records as unanswered, and nothing stood in the way of an answer`)
    }
  }

  counts(): Counts {
    const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0)
    const places = (name: keyof SimulatedCollector['counts']) => sum(this.collectors.map(({ counts }) => counts[name]))
    const books = (name: 'accepted' | 'delivered' | 'unknownTail') => sum(this.#books.map((book) => book[name]))
    const lost = (reason: string) => sum(this.#books.map((book) => book.lost[reason] ?? 0))
    return {
      ...this.network.counts,
      ...this.#tally,
      events: this.time.events,
      virtualMs: this.time.nowMs,
      accepted: books('accepted'),
      delivered: books('delivered'),
      lostEvicted: lost('ring_evicted'),
      lostUnanswered: lost('unanswered'),
      lostGone: lost('origin_gone'),
      lostOverload: lost('overload'),
      unknownTail: books('unknownTail'),
      evicted: sum(this.applications.flatMap(({ evicted }) => [...evicted.values()])),
      crashes: places('crashes'),
      rolledBack: places('rolledBack'),
      crashesOnBadDisk: places('crashesOnBadDisk'),
      turnedAway: places('turnedAway'),
      notDurable: places('notDurable'),
      requests: places('requests'),
      requestedRecords: places('requestedRecords'),
      duplicates: places('duplicates'),
      late: places('late'),
      finished: this.#books.filter(({ isExact }) => isExact).length,
      notFinished: this.#books.filter(({ isExact }) => !isExact).length,
    }
  }
}
