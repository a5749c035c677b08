/** A program that logs in bursts through a real agent, and knows of every record what it wrote. */
import { Agent } from '../../agent/agent.ts'
import type { AgentStream } from '../../agent/stream.ts'
import type { Rank } from '../../wire/level.ts'
import { closeDeadlineMs, exitWaitMs } from '../../wire/limits.ts'
import type { Topic } from '../../wire/topic.ts'
import { type LineSize, numberIn, PayloadOf } from './payload.ts'
import type { Random } from './random.ts'
import type { SimulatedNetwork } from './simulated-network.ts'
import { SimulatedProcess } from './simulated-process.ts'
import type { VirtualTime } from './virtual-time.ts'

export interface ApplicationWorld {
  readonly seed: number
  readonly time: VirtualTime
  readonly network: SimulatedNetwork
  readonly random: Random
}

export interface Program {
  readonly service: string
  /** Data endpoints; control is the same with `/control`. */
  readonly collectors: readonly string[]
  readonly ringBytes: number
  readonly burstRecordsMax: number
  readonly betweenBurstsMs: number
  readonly size: LineSize
  /** All topics of the agent share their numbers: to see why they must not. */
  readonly hasOneNumberSpace: boolean
}

/** How far a program has come. `closed` had its goodbye sent; the others ended as their names say. */
export type ProgramState = 'running' | 'closing' | 'closed' | 'exited' | 'killed'

const names = [undefined, undefined, 'db', 'http'] as const
/** Ranks as programs log them: mostly info. */
const ranks: readonly Rank[] = [0, 1, 1, 2, 2, 2, 2, 2, 3, 3, 4, 5]

export class SimulatedApplication {
  readonly agent: Agent
  readonly process: SimulatedProcess
  state: ProgramState = 'running'
  /** Whether every collector it has ever met answered its goodbye. */
  isAnswered = false
  /** Records that left the ring to make room, by topic. */
  readonly evicted = new Map<string, number>()
  readonly #world: ApplicationWorld
  readonly #program: Program
  readonly #payloads = new Map<string, PayloadOf>()
  readonly #readUpTo = new Map<string, number>()
  #isLogging = true

  constructor(world: ApplicationWorld, program: Program) {
    this.#world = world
    this.#program = program
    this.process = new SimulatedProcess(world.time, world.network, world.random)
    this.agent = new Agent(
      {
        service: program.service,
        links: program.collectors.map((data) => ({ data: data as never, control: `${data}/control` as never })),
        ringBytes: program.ringBytes,
        fallback: undefined,
        isDisabled: false,
        metrics: { intervalMs: 10_000, seriesMax: 1_000, runtime: false },
        askedMetrics: {},
      },
      this.process,
    )
    this.#countEvictions()
    this.#logLater()
  }

  #countEvictions(): void {
    const { agent, evicted } = this
    const tell = agent.evicted.bind(agent)
    agent.evicted = (stream, entry, frame) => {
      evicted.set(stream.topic, (evicted.get(stream.topic) ?? 0) + entry.count)
      tell(stream, entry, frame)
    }
  }

  #logLater(): void {
    const { random, time } = this.#world
    time.after(random.wait(this.#program.betweenBurstsMs), () => {
      if (!this.#mayLog) return
      this.process.run(() => {
        if (this.#mayLog) this.#logBurst()
      })
      this.#logLater()
    })
  }

  /** Also while it waits for the end of `close`: what comes behind that is not accepted for anybody. */
  get #mayLog(): boolean {
    return this.#isLogging && (this.state === 'running' || this.state === 'closing') && !this.agent.isClosed
  }

  stopLogging(): void {
    this.#isLogging = false
  }

  #logBurst(): void {
    const { random } = this.#world
    const count = 1 + random.below(this.#program.burstRecordsMax)
    // A burst is about something: it stays with a few topics.
    const topics = [this.#anyStream(), this.#anyStream(), this.#anyStream()] as const
    for (let n = 0; n < count; n += 1) this.#log(random.pick(topics))
  }

  #anyStream(): AgentStream {
    const { random } = this.#world
    const stream = this.agent.logStream(ranks[random.below(ranks.length)] ?? 2, random.pick([...names]))
    if (this.#program.hasOneNumberSpace) shareNumbers(this.agent, stream)
    return stream
  }

  #log(stream: AgentStream): void {
    // What nobody wants gets no number.
    if (!stream.wanted) return this.agent.batcher.append(stream, '\n')
    this.agent.batcher.append(stream, this.payloadOf(stream.topic).line(stream.next + stream.count))
  }

  /** One more record on every topic there is. */
  logOnEach(): void {
    for (const stream of [...this.agent.streams]) this.#log(stream)
  }

  payloadOf(topic: string): PayloadOf {
    let payload = this.#payloads.get(topic)
    if (payload === undefined) {
      payload = new PayloadOf(this.#world.seed, this.agent.origin, topic, this.#program.size)
      this.#payloads.set(topic, payload)
    }
    return payload
  }

  /** Which records these lines are, and whether they are what was written under those numbers. */
  read(topic: string, lines: Buffer, count: number): { readonly from: number; readonly isGenuine: boolean } {
    const text = lines.toString('latin1')
    if (this.#program.hasOneNumberSpace) return { from: this.#linesRead(topic, count), isGenuine: true }
    const from = numberIn(text)
    const payload = this.payloadOf(topic)
    let expected = ''
    for (let number = from; number < from + count; number += 1) expected += payload.line(number)
    return { from, isGenuine: text === expected }
  }

  /** Numbers of lines whose own numbers mean nothing: in the order they come. */
  #linesRead(topic: string, count: number): number {
    const from = this.#readUpTo.get(topic) ?? 0
    this.#readUpTo.set(topic, from + count)
    return from
  }

  /** Records accepted, by topic: the truth that books are held against. */
  accepted(): Map<Topic, number> {
    return new Map([...this.agent.streams].map((stream) => [stream.topic, stream.next + stream.count]))
  }

  /** `await agent.close()`, and the end of the program. */
  close(deadlineMs: number = closeDeadlineMs): void {
    if (this.state !== 'running') return
    this.state = 'closing'
    const met = this.agent.links.filter((link) => link.state !== 'connecting')
    void this.agent.close(deadlineMs).then(() => {
      this.state = 'closed'
      this.isAnswered = met.every((link) => link.isByeAnswered)
      this.process.end()
    })
  }

  /** `process.exit()`: nothing but the agent's exit handler runs any more, in steps. */
  exit(): void {
    if (this.state !== 'running') return
    this.state = 'exited'
    this.process.leave()
    this.agent.beginExit()
    const stepMs = 5
    const step = (leftMs: number) => {
      if (!this.agent.exitStep() && leftMs > 0) {
        this.#world.time.after(stepMs, () => step(leftMs - stepMs))
        return
      }
      this.agent.endExit()
      this.process.end()
    }
    step(exitWaitMs)
  }

  /** SIGKILL. */
  kill(): void {
    if (this.state !== 'running' && this.state !== 'closing') return
    this.state = 'killed'
    this.process.end()
  }
}

function shareNumbers(agent: Agent, stream: AgentStream): void {
  const streams = sharers.get(agent) ?? { next: 0, known: new Set<AgentStream>() }
  sharers.set(agent, streams)
  if (streams.known.has(stream)) return
  streams.known.add(stream)
  Object.defineProperty(stream, 'next', {
    get: () => streams.next,
    set: (next: number) => {
      streams.next = next
    },
  })
}

const sharers = new WeakMap<Agent, { next: number; known: Set<AgentStream> }>()
