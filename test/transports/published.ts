/** What a collector has rolled up of what was published to it. */
import type { Agent } from '../../agent/agent.ts'
import { createAgent } from '../../agent/shared.ts'
import type { TestCollector } from '../support/processes.ts'
import { until } from '../support/until.ts'

/** An agent of a service of its own that measures nothing by itself, once it is connected. */
export async function connectedAgent(collector: TestCollector, service: string, interval = 3_600_000): Promise<Agent> {
  const agent = createAgent({ service, collector: collector.data, metrics: { interval, runtime: false } })
  await until(() => agent.stats().links[0]?.state === 'connected', { what: `the agent of ${service} is connected` })
  return agent
}

/** Samples of `/metrics` of one service, by name with the other labels as they stand there. */
export async function scraped(collector: TestCollector, service: string): Promise<Map<string, number>> {
  const text = await (await fetch(`http://${collector.http}/metrics`)).text()
  const samples = new Map<string, number>()
  for (const line of text.split('\n')) {
    const [, name = '', labels = '', value = ''] = /^([a-zA-Z_:]\w*)\{service="([^}]*)\} (\S+)$/.exec(line) ?? []
    if (!labels.startsWith(`${service}"`) || name.startsWith('spillway_')) continue
    const others = labels.slice(service.length + 1).replace(/^,/, '')
    samples.set(others === '' ? name : `${name}{${others}}`, Number(value))
  }
  return samples
}

/** The same once `isThere` holds. */
export function scrapedUntil(
  collector: TestCollector,
  service: string,
  isThere: (samples: Map<string, number>) => boolean,
): Promise<Map<string, number>> {
  return until(
    async () => {
      const samples = await scraped(collector, service)
      return isThere(samples) && samples
    },
    { what: `what ${service} published is there` },
  )
}
