/**
 * Lines the application's own levels would not have made: for live tails that ask for them, or kept until it is known
 * how a request ends. Everything here is off, and costs a look at one field per line, until somebody wants such lines.
 */
import type { Ask } from '../wire/demand.ts'
import { SpillwayError } from '../wire/spillway-error.ts'
import { FingersCrossed, type FingersCrossedOptions } from './fingers-crossed.ts'
import { LoggerLevels, type PinoLogger } from './logger-levels.ts'
import { OnDemand } from './on-demand.ts'
import type { OnDemandOptions } from './options.ts'
import type { AgentRuntime } from './runtime.ts'
import type { AgentStream } from './stream.ts'

/** Where lines go. */
export interface LineSender {
  append(stream: AgentStream, line: string): void
  appendOnDemand(stream: AgentStream, line: string): void
}

export class ExtraLines {
  /** Whether lines have to be looked at. */
  isOn = false
  readonly levels: LoggerLevels
  readonly demand: OnDemand
  crossed: FingersCrossed | undefined
  readonly #sender: LineSender

  constructor(options: OnDemandOptions | false | undefined, service: string, sender: LineSender, runtime: AgentRuntime) {
    this.levels = new LoggerLevels(runtime)
    this.demand = new OnDemand(options, service, runtime, (mask) => {
      this.levels.open(mask)
      this.#settle()
    })
    this.#sender = sender
  }

  #settle(): void {
    this.isOn = this.demand.mask !== 0 || this.crossed !== undefined
  }

  look(asks: readonly Ask[], nowMs: number): void {
    this.demand.look(asks, nowMs)
  }

  /** @throws {@link SpillwayError} `SPW_OPTION_INVALID` for options that cannot be meant, and the second time. */
  crossFingers(options: FingersCrossedOptions): FingersCrossed {
    if (this.crossed !== undefined)
      throw new SpillwayError(
        'SPW_OPTION_INVALID',
        'fingersCrossed: expected to be called once per agent; keep what the first call returned',
      )
    this.crossed = new FingersCrossed(options, (stream, line) => this.#sender.append(stream, line))
    this.levels.keep(this.crossed)
    this.#settle()
    return this.crossed
  }

  /**
   * Looks at a line that is about to be sent.
   *
   * @returns Whether it is one of the application's own, to be sent as usual. Others are dealt with here.
   */
  passes(logger: PinoLogger | undefined, level: number, stream: AgentStream, text: string): boolean {
    if (logger === undefined || !this.levels.isExtra(logger, level)) {
      this.crossed?.passing(stream.rank)
      return true
    }
    // What a `streamWrite` hook made of a line may have lost its end, or gained line feeds.
    for (const line of text.split('\n')) if (line !== '') this.#take(stream, `${line}\n`)
    return false
  }

  #take(stream: AgentStream, line: string): void {
    const bit = 1 << stream.rank
    const isCrossed = this.crossed !== undefined && (this.crossed.mask & bit) !== 0 && this.crossed.isKeeping()
    if (isCrossed && this.crossed?.keep(stream, line)) this.#sender.append(stream, line)
    else if ((this.demand.mask & bit) !== 0) {
      if (this.demand.takeOne()) this.#sender.appendOnDemand(stream, line)
    } else if (!isCrossed) {
      // Made on the way to being switched off.
      stream.filtered += 1
    }
  }
}
