/**
 * An application that logs at a planned rate until SIGUSR2, lives until SIGTERM, and keeps its own count; one agent per name:
 * node logs-by-plan.mjs PLAN, with PLAN as JSON.
 *
 * What it says about itself goes to stdout, never through Spillway: `tell {…}` while it runs, `truth {…}` at its end.
 */
import { openSync, writeSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import pino from 'pino'
import { createAgent } from 'spillway'
import { tellEveryMs } from '../app-words.mjs'
import { levelOf, madeFields } from '../made-line.mjs'

/**
 * @typedef {object} Plan
 * @property {{ readonly app: string, readonly service: string }[]} apps
 * @property {import('../made-line.mjs').Making} making
 * @property {number} linesPerSecond Of each app.
 * @property {number} [linesMax] Of each app; then it rests.
 * @property {number} [tickMs] Between two turns that log; 5 unless told otherwise.
 * @property {number} [ringBytes]
 * @property {string} [countFile] Before each log call the number of calls begun is written here, 8 bytes little-endian.
 */
/** @typedef {import('../app-words.mjs').Tell} Tell */

const shortestTickMs = 5
const closeMs = 60_000

/** @type {Plan} */
const plan = JSON.parse(process.argv[2] ?? '{}')
const countFd = plan.countFile === undefined ? undefined : openSync(plan.countFile, 'w')
const countBytes = Buffer.alloc(8)
const apps = plan.apps.map(({ app, service }) => {
  const agent = createAgent({ service, ringBytes: plan.ringBytes, metrics: { runtime: false } })
  const log = pino({ base: null, timestamp: false, level: 'trace' }, agent.destination())
  /** @type {Partial<Record<import('../made-line.mjs').Level, number>>} */
  const byLevel = {}
  return { app, agent, log, made: 0, byLevel }
})

/** Logs what is due and was not logged yet. @param {number} due */
function logUpTo(due) {
  for (const each of apps) {
    while (each.made < due) {
      const level = levelOf(plan.making.mix, each.made)
      if (countFd !== undefined) {
        countBytes.writeBigUInt64LE(BigInt(each.made + 1))
        writeSync(countFd, countBytes, 0, 8, 0)
      }
      each.log[level](madeFields(plan.making, each.app, each.made))
      each.made += 1
      each.byLevel[level] = (each.byLevel[level] ?? 0) + 1
    }
  }
}

const startedAtMs = performance.now()
const due = () =>
  Math.min(plan.linesMax ?? Number.POSITIVE_INFINITY, Math.floor(((performance.now() - startedAtMs) * plan.linesPerSecond) / 1_000))
let tickedAtMs = startedAtMs
let worst = { gapMs: 0, callsMs: 0 }
const ticking = setInterval(() => {
  const beganAtMs = performance.now()
  logUpTo(due())
  const endedAtMs = performance.now()
  worst.gapMs = Math.max(worst.gapMs, beganAtMs - tickedAtMs)
  worst.callsMs = Math.max(worst.callsMs, endedAtMs - beganAtMs)
  tickedAtMs = beganAtMs
}, plan.tickMs ?? shortestTickMs)

const telling = setInterval(() => {
  let shed = 0
  for (const { agent } of apps) for (const records of Object.values(agent.stats().shed)) shed += records
  /** @type {Tell} */
  const tell = {
    made: apps.reduce((sum, { made }) => sum + made, 0),
    shed,
    ...worst,
  }
  worst = { gapMs: 0, callsMs: 0 }
  process.stdout.write(`tell ${JSON.stringify(tell)}\n`)
}, tellEveryMs)

process.once('SIGUSR2', () => {
  clearInterval(ticking)
  process.stdout.write(`rests ${apps.reduce((sum, { made }) => sum + made, 0)}\n`)
})
process.once('SIGTERM', async () => {
  clearInterval(ticking)
  const closed = await Promise.all(apps.map(({ agent }) => agent.close(closeMs)))
  clearInterval(telling)
  const truths = apps.map(({ app, made, byLevel, agent }, i) => ({
    app,
    made,
    byLevel,
    shed: agent.stats().shed,
    evictedSent: agent.stats().evictedSent,
    left: closed[i]?.left ?? -1,
  }))
  process.stdout.write(`truth ${JSON.stringify(truths)}\n`)
  // So that what was written is read before the end.
  await sleep(0)
})
process.stdout.write('ready\n')
