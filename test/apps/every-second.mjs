// Loaded before an application whose service is `shop`: the agent it will share sends metrics every second.
import { createAgent } from 'spillway'

createAgent({ service: 'shop', metrics: { interval: '1s' } })
