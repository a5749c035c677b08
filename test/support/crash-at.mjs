// Loaded with `node --import` before a collector: kills it with SIGKILL the n-th time it reaches a point.
// SPILLWAY_TEST_CRASH=point:n
import { writeSync } from 'node:fs'
import { crashPoints } from '../../dist/collector/spool/crash-points.js'

const [armed = '', nth = '1'] = (process.env['SPILLWAY_TEST_CRASH'] ?? '').split(':')
let times = 0
crashPoints.reached = (point) => {
  if (point !== armed) return
  times += 1
  if (times < Number(nth)) return
  writeSync(2, `reached ${point} for the ${times}. time\n`)
  process.kill(process.pid, 'SIGKILL')
}
