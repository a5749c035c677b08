/** What an agent says on stderr: what was lost, how much, since when, why, and what to do about it. */
import { formatCount } from '../wire/quantity.ts'
import type { AgentStats } from './books.ts'
import type { LinkState } from './link-state.ts'
import { Notices } from './notices.ts'
import type { LinkEndpoints } from './options.ts'
import type { AgentRuntime, Pending } from './runtime.ts'

/** What it looks at when it speaks. */
export interface Spoken {
  readonly isClosed: boolean
  readonly links: readonly { readonly state: LinkState; readonly endpoints: LinkEndpoints }[]
  isFlowing(): boolean
  /** Records no collector has acknowledged. */
  leftRecords(): number
  stats(): AgentStats
}

/** After this long without a collector, with records waiting, the application is told. */
const absentNoticeMs = 2_000

export class AgentWords {
  readonly #agent: Spoken
  readonly #runtime: AgentRuntime
  readonly #notices: Notices
  readonly #startedAtMs: number
  #firstLossAtMs = 0
  #lostRecords = 0
  #toldRecords = 0
  #look: Pending | undefined
  #saidTotal = ''

  constructor(agent: Spoken, runtime: AgentRuntime) {
    this.#agent = agent
    this.#runtime = runtime
    this.#notices = new Notices(runtime.say)
    this.#startedAtMs = runtime.nowMs()
  }

  /** Notes a loss. The first is told at once, but not on the stack of the call that met it. */
  lost(records: number): void {
    this.#lostRecords += records
    if (this.#firstLossAtMs === 0) this.#firstLossAtMs = this.#runtime.wallClockMs()
    else if (!this.#agent.isClosed) return
    // After the end of the agent there is no regular look any more.
    this.#look ??= this.#runtime.afterThisTurn(() => {
      this.#look = undefined
      this.look(this.#runtime.nowMs())
    })
  }

  /** Records lost so far. */
  get lostRecords(): number {
    return this.#lostRecords
  }

  /** What was lost, how much, since when, why, and what to do about it. */
  get loss(): { readonly since: string; readonly text: string } {
    const since = new Date(this.#firstLossAtMs).toISOString()
    return { since, text: `${formatCount(this.#lostRecords)} records lost since ${since} (${this.#reasons()}): ${this.#why()}` }
  }

  /** Says what there is to say, if it is time. */
  look(nowMs: number): void {
    if (!this.#notices.isDue(nowMs)) return
    if (this.#lostRecords !== this.#toldRecords) {
      this.#toldRecords = this.#lostRecords
      this.#notices.say(this.loss.text, nowMs)
      return
    }
    if (nowMs - this.#startedAtMs < absentNoticeMs || this.#isAnyConnected || this.#agent.leftRecords() === 0) return
    this.#notices.say(this.#why(), nowMs)
  }

  /** The last word. Nothing when nothing was lost or left. */
  sayTotal(when: 'at exit' | 'at close', leftRecords: number): void {
    const { accepted, shed } = this.#agent.stats()
    const printed = shed['printed'] ?? 0
    if (this.#lostRecords === 0 && printed === 0 && leftRecords === 0) return
    const parts = [`${formatCount(accepted)} records accepted`]
    if (this.#lostRecords > 0) parts.push(`${formatCount(this.#lostRecords)} lost (${this.#reasons()})`)
    if (printed > 0) parts.push(`${formatCount(printed)} printed to stdout instead`)
    if (leftRecords > 0) {
      const left = formatCount(leftRecords)
      const hasMet = this.#agent.links.some((link) => link.state !== 'connecting')
      parts.push(hasMet ? `${left} without an answer from ${this.#collectors}` : `${left} not delivered: ${this.#nobodyThere}`)
    }
    const total = `${when}: ${parts.join(', ')}`
    // Several lines of a late exit handler need not say it several times.
    if (total !== this.#saidTotal) this.#notices.sayNow(total)
    this.#saidTotal = total
  }

  #why(): string {
    if (this.#agent.isClosed) return 'logged after close()'
    if (this.#agent.isFlowing()) return `the collector at ${this.#collectors} takes records more slowly than they are logged`
    const { bytesMax } = this.#runtime.ring
    const kept = bytesMax >= 2 ** 20 ? `${bytesMax >> 20} MiB` : `${bytesMax >> 10} KiB`
    if (this.#isAnyConnected)
      return `the collector at ${this.#collectors} is connected but takes nothing; keeping the most important ${kept}`
    return `${this.#nobodyThere}; until then up to ${kept} are kept, the least important lost first`
  }

  get #nobodyThere(): string {
    return `no collector at ${this.#collectors}; start one with \`spillway collector\`, or see \`spillway doctor\``
  }

  get #isAnyConnected(): boolean {
    return this.#agent.links.some((link) => link.state === 'connected')
  }

  get #collectors(): string {
    return this.#agent.links.map((link) => link.endpoints.data).join(', ')
  }

  #reasons(): string {
    return Object.entries(this.#agent.stats().shed)
      .filter(([reason]) => reason !== 'printed')
      .map(([reason, records]) => `${reason} ${formatCount(records)}`)
      .join(', ')
  }
}
