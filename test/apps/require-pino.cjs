// Logs one line from CommonJS: node require-pino.cjs SERVICE
const pino = require('pino')
const { destination } = require('spillway/pino')

const log = pino({ base: null, timestamp: false }, destination({ service: process.argv[2] }))
log.info('from CommonJS')
