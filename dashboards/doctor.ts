/**
 * The way from here to a collector, looked at step by step: does anything listen, does it speak ZeroMQ's protocol, is
 * it a collector, does the control channel answer, and whom does it know.
 */
import { connect, type NetConnectOpts } from 'node:net'
import { Subscriber, XPublisher } from 'zeromq'
import { type Beacon, beaconTopic, readBeacon } from '../wire/control.ts'
import { type Endpoint, hostAndPort } from '../wire/endpoint.ts'
import { controlBytesMax } from '../wire/limits.ts'
import { allowAddress, openSocket, privateContext } from '../wire/socket.ts'
import { version } from '../wire/version.ts'
import { visibleText } from './visible-text.ts'

export interface Finding {
  readonly isBad: boolean
  readonly text: string
}

export interface Examined {
  readonly data: Endpoint
  readonly control: Endpoint
  readonly timeoutMs: number
}

const pollMs = 20
const runPrefix = 'sys.run.'

/** Findings in order; ends at the first one that makes the next pointless. */
export async function* examine(way: Examined): AsyncGenerator<Finding> {
  const greeting = await readGreeting(way.data, way.timeoutMs)
  yield greeting
  if (greeting.isBad) return
  const subscribed = await readSubscriptions(way)
  yield subscribed
  if (subscribed.isBad) return
  const control = await readGreeting(way.control, way.timeoutMs)
  if (control.isBad) {
    yield { isBad: true, text: `control ${way.control}: ${control.text}; records arrive, but acknowledgements and repair do not` }
    return
  }
  yield* readControlChannel(way)
}

/** Signature and version of ZMTP 3.0. */
const zmtpGreetingStart = Uint8Array.of(0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3)

/** ZMTP 3 opens with ff, eight bytes, 7f, then the version. https://rfc.zeromq.org/spec/23/ */
function readGreeting(endpoint: Endpoint, timeoutMs: number): Promise<Finding> {
  const address = hostAndPort(endpoint)
  const options: NetConnectOpts = address === undefined ? { path: endpoint.slice('ipc://'.length) } : address
  return new Promise((resolve) => {
    const socket = connect(options)
    let bytes = Buffer.alloc(0)
    const end = (isBad: boolean, text: string) => {
      socket.destroy()
      clearTimeout(timer)
      resolve({ isBad, text })
    }
    const timer = setTimeout(() => {
      if (bytes.length === 0 && socket.pending)
        end(true, `no answer within ${timeoutMs} ms; is the address right, is something in between dropping packets?`)
      else end(true, 'the connection opens, but nothing is said; something else listens there, or the collector is stopped')
    }, timeoutMs)
    // libzmq says its version only after it has seen the beginning of ours.
    socket.on('connect', () => socket.write(zmtpGreetingStart))
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNREFUSED' || error.code === 'ENOENT')
        end(true, `nothing listens at ${endpoint}; start a collector with \`spillway collector\``)
      else end(true, `cannot connect: ${error.message}`)
    })
    socket.on('close', () => end(true, 'the connection was closed at once; something else listens there'))
    socket.on('data', (chunk) => {
      bytes = Buffer.concat([bytes, chunk])
      if (bytes[0] !== 0xff || (bytes.length > 9 && bytes[9] !== 0x7f))
        end(true, 'what listens there does not speak ZeroMQ; is it the data port?')
      else if (bytes.length > 10) end((bytes[10] ?? 0) < 3, `it listens and speaks ZMTP ${bytes[10]}`)
    })
  })
}

async function readSubscriptions(way: Examined): Promise<Finding> {
  const socket = openSocket(privateContext(), XPublisher, {
    sendTimeout: 0,
    receiveTimeout: pollMs,
    immediate: true,
    maxMessageSize: controlBytesMax,
  })
  try {
    allowAddress(socket, way.data)
    socket.connect(way.data)
    const prefixes: string[] = []
    const untilMs = performance.now() + way.timeoutMs
    // The run's own prefix comes last; a little longer shows that nothing more does.
    while (performance.now() < untilMs && !prefixes.some((prefix) => prefix.startsWith(runPrefix))) {
      const [message] = await socket.receive().catch(() => [])
      if (message?.[0] === 1) prefixes.push(message.toString('latin1', 1))
    }
    if (prefixes.length === 0) return { isBad: true, text: 'it asks for no records: not a collector, or one that is stopped or stuck' }
    const wanted = prefixes.filter((prefix) => !prefix.startsWith('sys.')).map((prefix) => `${prefix}>`)
    if (!prefixes.some((prefix) => prefix.startsWith(runPrefix))) {
      return {
        isBad: true,
        text: `it subscribes to ${visibleText(wanted.join(' '))} but is not a Spillway collector of this protocol version`,
      }
    }
    return { isBad: false, text: `it is a Spillway collector and asks for ${visibleText(wanted.join(' ')) || 'nothing'}` }
  } finally {
    socket.close()
  }
}

async function* readControlChannel(way: Examined): AsyncGenerator<Finding> {
  const beacon = await readBeaconFrom(way)
  if (beacon === undefined) {
    yield {
      isBad: true,
      text: `control ${way.control}: connected, but no word within ${way.timeoutMs} ms; is it the control port of the same collector?`,
    }
    return
  }
  const remark = beacon.version === version ? '' : ` (this command is ${version})`
  yield { isBad: false, text: `control ${way.control} answers: collector ${visibleText(beacon.version)}${remark}` }
  yield { isBad: false, text: `${beacon.originCount} application${beacon.originCount === 1 ? '' : 's'} known to it` }
  for (const { service, host, pid, state } of beacon.origins) {
    yield {
      isBad: false,
      text: `  ${visibleText(service) || '(not introduced yet)'} on ${visibleText(host) || '?'}, pid ${pid}, ${visibleText(state)}`,
    }
  }
}

async function readBeaconFrom(way: Examined): Promise<Beacon | undefined> {
  const socket = openSocket(privateContext(), Subscriber, { receiveTimeout: pollMs, maxMessageSize: controlBytesMax })
  try {
    socket.subscribe(beaconTopic)
    allowAddress(socket, way.control)
    socket.connect(way.control)
    const untilMs = performance.now() + way.timeoutMs
    while (performance.now() < untilMs) {
      const [, body] = await socket.receive().catch(() => [])
      const beacon = body === undefined ? undefined : readBeacon(body)
      if (beacon !== undefined) return beacon
    }
    return undefined
  } finally {
    socket.close()
  }
}
