// Logs in `exit` handlers of its own, which run after the ones that were there before.
import pino from 'pino'
import { destination } from 'spillway/pino'

const log = pino(destination({ service: 'at-exit' }))
log.info('before')
process.on('exit', () => {
  log.info('at exit')
  log.info('and again')
})
