/** A running application of the torture: its plan, what it tells, and its own count at its end. */
import { join } from 'node:path'
import { type RunningProcess, root, startNode } from '../support/processes.ts'
import type { Tell, Truth } from './app-words.mjs'
import type { Plan } from './apps/logs-by-plan.mjs'
import type { TortureContext } from './scenario.ts'

export type { Plan }

export class PlannedApp implements AsyncDisposable {
  readonly plan: Plan
  readonly process: RunningProcess
  readonly #context: TortureContext

  constructor(context: TortureContext, plan: Plan, env: Record<string, string>) {
    this.#context = context
    this.plan = plan
    this.process = startNode([join(root, 'test/torture/apps/logs-by-plan.mjs'), JSON.stringify(plan)], { env })
  }

  /** Everything it has told, oldest first. */
  get tells(): Tell[] {
    return this.#said('tell').map((text) => JSON.parse(text) as Tell)
  }

  get lastTell(): Tell | undefined {
    const { stdout } = this.process
    const end = stdout.lastIndexOf('\n')
    const line = stdout.slice(stdout.lastIndexOf('\n', end - 1) + 1, Math.max(0, end))
    return line.startsWith('tell ') ? (JSON.parse(line.slice('tell '.length)) as Tell) : undefined
  }

  /** Makes it log no more, and live on. Returns its log calls. */
  async rest(): Promise<number> {
    this.process.kill('SIGUSR2')
    return Number((await this.process.says(/^rests (\d+)$/m))[1])
  }

  /** Ends it the clean way and returns its own count of each of its apps. */
  async finish(): Promise<Truth[]> {
    this.process.kill('SIGTERM')
    await this.#context.until(() => this.process.end, { what: `application ${this.process.pid} ends`, timeoutMs: 70_000 })
    const [truth] = this.#said('truth')
    if (truth === undefined)
      throw new Error(`application ended (${JSON.stringify(this.process.end)}) without its count:\n${this.process.stderr}`)
    return JSON.parse(truth) as Truth[]
  }

  #said(word: string): string[] {
    return [...this.process.stdout.matchAll(new RegExp(`^${word} (.*)$`, 'gm'))].map((match) => match[1] ?? '')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.process[Symbol.asyncDispose]()
  }
}
