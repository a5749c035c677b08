// Logs whenever it has nothing more to do, an error and then more lines than a batch takes, and says how often that was.
import pino from 'pino'
import { destination } from 'spillway/pino'

let times = 0
const log = pino(destination({ service: 'before-exit' }))
log.info('before')
process.on('beforeExit', () => {
  times += 1
  // Enough to be sure that it would go on.
  if (times > 100) process.exit(1)
  log.error({ times }, 'nothing more to do')
  for (let n = 0; n < 600; n += 1) log.info({ n }, 'and much to say about it')
})
process.on('exit', () => console.log(`times ${times}`))
