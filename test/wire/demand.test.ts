import { describe, expect, test } from 'vitest'
import { Demand, demandPrefixes, readableTail } from '../../wire/demand.ts'
import { demandLeaseMs, demandRenewMs, demandTickMaxMs } from '../../wire/limits.ts'

const ask = 'ask.debug.shop.'

/** A tail as it subscribes, and a clock that ticks as often as it has to. */
class World {
  readonly demand = new Demand()
  nowMs = 1_000

  join(name: string, asks: readonly string[], isRenewing = true): () => void {
    const { steady, here } = demandPrefixes(name, asks)
    for (const prefix of steady) this.demand.subscribed(prefix, this.nowMs)
    if (isRenewing) this.demand.subscribed(here, this.nowMs)
    return () => {
      this.demand.unsubscribed(here, this.nowMs)
      this.demand.subscribed(here, this.nowMs)
    }
  }

  /** The last subscription of each prefix is gone. */
  leave(name: string, prefixes: readonly string[], asksLeft: readonly string[] = []): void {
    const { steady, here } = demandPrefixes(name, prefixes)
    for (const prefix of [...steady, here]) if (!asksLeft.includes(prefix)) this.demand.unsubscribed(prefix, this.nowMs)
  }

  pass(ms: number, renew: () => void = () => undefined): void {
    const untilMs = this.nowMs + ms
    while (this.nowMs < untilMs) {
      this.nowMs = Math.min(untilMs, this.nowMs + demandTickMaxMs)
      renew()
      this.demand.tick(this.nowMs)
    }
  }

  get asked(): { prefix: string; by: readonly string[] }[] {
    return this.demand.asks().map(({ prefix, by }) => ({ prefix, by }))
  }
}

describe('what tails ask for', () => {
  test('level and service, by whom and since when; a prefix without a level asks for nothing', () => {
    const world = new World()
    for (const prefix of [
      '',
      'a',
      'ask.',
      'ask.deb',
      'ask.debug',
      'ask.loud.shop.',
      'ask.debug.shop',
      'ask.debug.a.b.',
      'log.debug.shop.',
      'sys.',
      'sys.tail.',
    ]) {
      world.demand.subscribed(prefix, world.nowMs)
    }
    expect(world.demand.asks()).toEqual([])
    world.join('host~42', [ask, 'ask.trace.'])
    expect(world.demand.asks()).toEqual([
      { prefix: ask, level: 'debug', service: 'shop', by: ['host~42'], sinceMs: 1_000 },
      { prefix: 'ask.trace.', level: 'trace', service: undefined, by: ['host~42'], sinceMs: 1_000 },
    ])
  })

  test('holds while signs of life come, and not without them', () => {
    const world = new World()
    const renew = world.join('host~42', [ask])
    world.pass(10 * demandLeaseMs, renew)
    expect(world.asked).toEqual([{ prefix: ask, by: ['host~42'] }])
    world.pass(demandLeaseMs - demandRenewMs)
    expect(world.asked).toHaveLength(1)
    world.pass(demandRenewMs)
    expect(world.asked).toEqual([])
    renew()
    expect(world.demand.asks()).toMatchObject([{ prefix: ask, sinceMs: world.nowMs }])
  })

  test('time in which nobody listened is held against nobody', () => {
    const world = new World()
    world.join('host~42', [ask])
    world.demand.tick(world.nowMs)
    world.nowMs += 100 * demandLeaseMs
    world.demand.tick(world.nowMs)
    expect(world.asked).toHaveLength(1)
  })

  test('one without signs of life asks for as long as it is connected', () => {
    const world = new World()
    world.demand.subscribed(ask, world.nowMs)
    world.pass(10 * demandLeaseMs)
    expect(world.asked).toEqual([{ prefix: ask, by: [] }])
    world.demand.unsubscribed(ask, world.nowMs)
    expect(world.asked).toEqual([])
  })

  test('of several the ones that are there count: one that is gone ends nothing, the last one does', () => {
    const world = new World()
    world.join('gone~1', [ask])
    const renew = world.join('there~2', [ask])
    expect(world.asked).toEqual([{ prefix: ask, by: ['gone~1', 'there~2'] }])
    world.pass(2 * demandLeaseMs, renew)
    expect(world.asked).toEqual([{ prefix: ask, by: ['there~2'] }])
    // The first one's connection still holds the prefix that both asked.
    world.leave('there~2', [ask], [ask])
    expect(world.asked).toEqual([])
    world.leave('gone~1', [ask])
    world.demand.subscribed(ask, world.nowMs)
    expect(world.asked).toEqual([{ prefix: ask, by: [] }])
  })

  test('nothing is left of those who have gone', () => {
    const world = new World()
    for (let i = 0; i < 1_000; i += 1) {
      world.join(`host~${i}`, [`ask.debug.s${i}.`])
      world.leave(`host~${i}`, [`ask.debug.s${i}.`])
    }
    expect(world.demand.asks()).toEqual([])
    expect([...world.demand.tailNames()]).toEqual([])
  })

  test('a name is shown as people know it', () => {
    expect(readableTail('web~2D1~2Eexample~4242')).toBe('web-1.example (pid 4242)')
    expect(readableTail('somebody')).toBe('somebody')
  })
})
