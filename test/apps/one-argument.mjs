// pino with a stream as its only argument.
import pino from 'pino'
import { destination } from 'spillway/pino'

pino(destination({ service: 'one-argument' })).info('to the collector, not to stdout')
