/** Every scenario of the torture, in the order of a run. */
import type { Scenario } from './scenario.ts'
import { badNetwork } from './scenarios/bad-network.ts'
import { cutLinks } from './scenarios/cut-links.ts'
import { killedApps } from './scenarios/killed-apps.ts'
import { killedCollector } from './scenarios/killed-collector.ts'
import { manyApps } from './scenarios/many-apps.ts'
import { slowTails, tailBehindAtEnd } from './scenarios/slow-tails.ts'
import { startOrder } from './scenarios/start-order.ts'
import { stoppedCollector } from './scenarios/stopped-collector.ts'

export const scenarios: readonly Scenario[] = [
  killedCollector,
  stoppedCollector,
  cutLinks,
  badNetwork,
  startOrder,
  slowTails,
  tailBehindAtEnd,
  manyApps,
  killedApps,
]
