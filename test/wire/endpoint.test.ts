import { describe, expect, test } from 'vitest'
import {
  defaultDataEndpoint,
  defaultHttpAddress,
  defaultPorts,
  defaultTailEndpoint,
  hostAndPort,
  isIpc,
  isLoopbackHost,
  parseEndpoint,
  siblingEndpoint,
  splitAddress,
} from '../../wire/endpoint.ts'

const longestPath = `/${'p'.repeat(106)}`

test.each([
  'tcp://127.0.0.1:7701',
  'tcp://collector.example-1.org:0',
  'tcp://[::1]:65535',
  'tcp://[fe80::1%eth0]:1',
  'tcp://*:7701',
  'ipc:///run/spillway',
  'ipc://relative',
  'ipc://@abstract',
  `ipc://${longestPath}`,
])('takes %s as it is', (text) => {
  expect(parseEndpoint(text, 'collector')).toBe(text)
})

test.each([
  '',
  'tcp://',
  'tcp://host',
  'tcp://host:',
  'tcp://host:65536',
  'tcp://host:7701/path',
  'tcp://:7701',
  'tcp://::1:7701',
  'tcp://a b:1',
  'udp://host:1',
  'inproc://x',
  'ipc://',
  'http://host:7700',
  'TCP://host:1',
  ' tcp://host:1',
  'tcp://host:1\n',
])('refuses %j and names the option', (text) => {
  expect(() => parseEndpoint(text, 'listen.data')).toThrow(expect.objectContaining({ code: 'SPW_OPTION_INVALID' }))
  expect(() => parseEndpoint(text, 'listen.data')).toThrow(/^listen\.data: expected tcp:\/\/HOST:PORT or ipc:\/\/PATH/)
})

test('offers the endpoint that was meant when only the scheme is missing', () => {
  expect(() => parseEndpoint('localhost:7701', 'collector')).toThrow('did you mean "tcp://localhost:7701"?')
})

test('says how long an ipc path may be, and counts its bytes', () => {
  expect(() => parseEndpoint(`ipc://${longestPath}p`, 'collector')).toThrow('at most 107 bytes')
  expect(() => parseEndpoint(`ipc:///${'ü'.repeat(54)}`, 'collector')).toThrow('at most 107 bytes')
})

describe('siblings', () => {
  test('are the next ports of a TCP endpoint', () => {
    expect(siblingEndpoint(defaultDataEndpoint, 1, 'control')).toBe(`tcp://127.0.0.1:${defaultPorts.control}`)
    expect(siblingEndpoint(defaultDataEndpoint, 2, 'tail')).toBe(defaultTailEndpoint)
    expect(siblingEndpoint(parseEndpoint('tcp://[::1]:10', 'x'), 1, 'control')).toBe('tcp://[::1]:11')
  })

  test('are the path with a name behind it of an ipc endpoint', () => {
    expect(siblingEndpoint(parseEndpoint('ipc:///run/spillway', 'x'), 1, 'control')).toBe('ipc:///run/spillway.control')
    expect(siblingEndpoint(parseEndpoint('ipc:///run/spillway', 'x'), 2, 'tail')).toBe('ipc:///run/spillway.tail')
  })

  test('that cannot be are refused, not left to the socket', () => {
    const refusal = expect.objectContaining({ code: 'SPW_OPTION_INVALID', message: expect.stringMatching(/^control: /) })
    expect(() => siblingEndpoint(parseEndpoint('tcp://host:65535', 'x'), 1, 'control')).toThrow(refusal)
    expect(() => siblingEndpoint(parseEndpoint(`ipc://${longestPath}`, 'x'), 1, 'control')).toThrow(refusal)
  })
})

test('tells host and port apart, without brackets', () => {
  expect(hostAndPort(parseEndpoint('tcp://[::1]:7701', 'x'))).toEqual({ host: '::1', port: 7701 })
  expect(hostAndPort(defaultDataEndpoint)).toEqual({ host: '127.0.0.1', port: defaultPorts.data })
  expect(hostAndPort(parseEndpoint('ipc:///run/spillway', 'x'))).toBeUndefined()
  expect(isIpc(parseEndpoint('ipc:///run/spillway', 'x'))).toBe(true)
  expect(isIpc(defaultDataEndpoint)).toBe(false)
})

test.each(['127.0.0.1', '127.255.0.9', '::1', '[::1]', 'localhost'])('only this machine reaches %s', (host) => {
  expect(isLoopbackHost(host)).toBe(true)
})

test.each(['0.0.0.0', '*', '::', '10.0.0.1', '128.0.0.1', '127.example.org', 'localhost.example.org', 'collector', '', '1127.0.0.1'])(
  'others may reach %j',
  (host) => {
    expect(isLoopbackHost(host)).toBe(false)
  },
)

test('takes an address apart, and nothing else', () => {
  expect(splitAddress(defaultHttpAddress)).toEqual({ host: '127.0.0.1', port: defaultPorts.http })
  expect(splitAddress('[::1]:0')).toEqual({ host: '::1', port: 0 })
  expect(splitAddress('host-1.example:65535')).toEqual({ host: 'host-1.example', port: 65_535 })
  for (const text of ['', '7700', ':7700', 'host', 'host:', 'host:65536', '::1:7700', 'http://host:1', 'host:1/', 'ho st:1', 'host:1\n']) {
    expect(splitAddress(text)).toBeUndefined()
  }
})
