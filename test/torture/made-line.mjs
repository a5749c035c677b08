/**
 * What an application of the torture logs as its line `n`: a pure function of seed, application and number. So every
 * line that is found can be told from one that nobody made, and compared to the byte.
 */
import { Buffer } from 'node:buffer'

/** @typedef {'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal'} Level */
/** @typedef {'info' | 'error' | 'all'} Mix `all`: mostly info, some trace and debug, few warn, very few error and fatal. */
/** @typedef {{ readonly seed: number, readonly mix: Mix, readonly padBytes: number }} Making */

/** @type {Readonly<Record<Level, number>>} */
const levelNumbers = { trace: 10, debug: 20, info: 30, warn: 40, error: 50, fatal: 60 }
/** @type {readonly Level[]} */
const mixOfAll = Array.from({ length: 400 }, (_, place) => {
  if (place === 0) return 'fatal'
  if (place === 200) return 'error'
  if (place % 100 === 50) return 'warn'
  if (place % 20 === 3) return 'trace'
  return place % 10 === 7 ? 'debug' : 'info'
})

/** @param {Mix} mix @param {number} n @returns {Level} */
export function levelOf(mix, n) {
  return mix === 'all' ? (mixOfAll[n % mixOfAll.length] ?? 'info') : mix
}

const padChars = 65_536
const pad = Buffer.from(
  Array.from({ length: padChars / 64 }, (_, i) => String(i).padEnd(64, 'abcdefghijklmnopqrstuvwxyz')).join(''),
).toString('latin1')

/** What is logged. The pad is half of `padBytes` to one and a half. @param {Making} making @param {string} app @param {number} n */
export function madeFields({ seed, padBytes }, app, n) {
  const mixed = Math.imul((seed ^ (n + 1)) >>> 0, 0x9e3779b1) >>> 0
  const length = Math.floor(padBytes / 2) + (padBytes === 0 ? 0 : mixed % padBytes)
  const from = (mixed >>> 8) % 32_768
  return { app, n, pad: pad.slice(from, from + length) }
}

/** The line as it must stand in the file, without its LF. @param {Making} making @param {string} app @param {number} n */
export function madeLine(making, app, n) {
  const { pad: text } = madeFields(making, app, n)
  return `{"level":${levelNumbers[levelOf(making.mix, n)]},"app":"${app}","n":${n},"pad":"${text}"}`
}
