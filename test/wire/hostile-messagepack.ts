/** MessagePack that is well formed, or nearly, and meant to hurt whoever reads it. Each is at most a frame long. */
import { decodeDepthMax, decodeElementsMax, frameBytesMax } from '../../wire/limits.ts'

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

/** `head`, then `unit` as often as it fits behind it in `bytesMax`, at most `timesMax` times. */
function repeated(head: Buffer, unit: Buffer, timesMax: number, bytesMax: number): Buffer {
  const times = Math.min(timesMax, Math.floor((bytesMax - head.length) / unit.length))
  return Buffer.concat([head, Buffer.alloc(times * unit.length, unit)])
}

/** Maps of distinct keys: what costs most to build. */
function wideMap(keyCount: number): Buffer {
  const parts: Buffer[] = [Buffer.from([0xdf]), uint32(keyCount)]
  for (let i = 0; i < keyCount; i += 1) parts.push(Buffer.from(`\xa5${i.toString(36).padStart(5, 'k')}\x01`, 'latin1'))
  return Buffer.concat(parts)
}

/**
 * @param bytesMax - Longest value; the frame's head must fit beside it.
 * @returns `isRefused`: breaks a bound. The others are values, strange ones, and are read.
 */
export function hostileValues(bytesMax: number = frameBytesMax): readonly { name: string; bytes: Buffer; isRefused: boolean }[] {
  const fourGiB = uint32(0xffff_ffff)
  const emptyMaps = repeated(Buffer.concat([Buffer.from([0xdd]), uint32(1_000_000)]), Buffer.from([0x80]), 1_000_000, bytesMax)
  const refused: Record<string, Buffer> = {
    'arrays 100,000 deep': Buffer.concat([Buffer.alloc(100_000, 0x91), Buffer.from([0xc0])]),
    'maps 100,000 deep': Buffer.concat([Buffer.alloc(200_000, Buffer.from([0x81, 0x01])), Buffer.from([0xc0])]),
    'maps as keys 100,000 deep': Buffer.concat([Buffer.alloc(100_000, 0x81), Buffer.alloc(100_001, 0xc0)]),
    'arrays one level deeper than the limit': Buffer.concat([Buffer.alloc(decodeDepthMax + 1, 0x91), Buffer.from([0xc0])]),
    'a million empty maps': emptyMaps,
    'a million nils': Buffer.concat([Buffer.from([0xdd]), uint32(1_000_000), Buffer.alloc(1_000_000, 0xc0)]),
    'a million empty arrays, cut short': emptyMaps.subarray(0, 500_000),
    'a map of half a million pairs': Buffer.concat([Buffer.from([0xdf]), uint32(500_000), Buffer.alloc(1_000_000, 0x01)]),
    'an array of 4 Gi elements': Buffer.concat([Buffer.from([0xdd]), fourGiB]),
    'an array of 4 Gi elements and some of them': Buffer.concat([Buffer.from([0xdd]), fourGiB, Buffer.alloc(1_000, 0xc0)]),
    'a map of 4 Gi pairs': Buffer.concat([Buffer.from([0xdf]), fourGiB]),
    'a text of 4 GiB': Buffer.concat([Buffer.from([0xdb]), fourGiB, Buffer.from('a')]),
    'bytes of 4 GiB': Buffer.concat([Buffer.from([0xc6]), fourGiB, Buffer.from('a')]),
    'an extension of 4 GiB': Buffer.concat([Buffer.from([0xc9]), fourGiB, Buffer.from([1, 0])]),
    'an array of 65,535 that has none': Buffer.from([0xdc, 0xff, 0xff]),
    'the byte that is never used': Buffer.from([0xc1]),
    'an array holding the byte that is never used': Buffer.from([0x91, 0xc1]),
    'nothing at all': Buffer.alloc(0),
    'two values': Buffer.from([0x01, 0x02]),
  }
  // Extension types: fixext 1 to 16, ext 8 to 32, with the timestamp's -1 and msgpackr's own 114 (records), 98, 112, 105.
  for (const type of [0xff, 114, 98, 112, 105, 120, 0]) {
    for (const [i, bytes] of [1, 2, 4, 8, 16].entries()) {
      refused[`a fixed extension of ${bytes} bytes, type ${type}`] = Buffer.concat([Buffer.from([0xd4 + i, type]), Buffer.alloc(bytes)])
    }
    refused[`an extension 8, type ${type}`] = Buffer.from([0xc7, 1, type, 0])
    refused[`an extension 16, type ${type}`] = Buffer.from([0xc8, 0, 1, type, 0])
    refused[`an extension 32, type ${type}`] = Buffer.from([0xc9, 0, 0, 0, 1, type, 0])
    refused[`an extension in a map, type ${type}`] = Buffer.from([0x81, 0xa1, 0x61, 0xd4, type, 0])
  }
  const odd: Record<string, Buffer> = {
    'a map of as many keys as are read': wideMap(decodeElementsMax / 2 - 1),
    'as many empty maps as are read': Buffer.concat([
      Buffer.from([0xdd]),
      uint32(decodeElementsMax - 1),
      Buffer.alloc(decodeElementsMax - 1, 0x80),
    ]),
    'a text of a megabyte of continuation bytes': Buffer.concat([
      Buffer.from([0xdb]),
      uint32(bytesMax - 5),
      Buffer.alloc(bytesMax - 5, 0x80),
    ]),
    'a key named __proto__': Buffer.from('\x81\xa9__proto__\x81\xa1a\x01', 'latin1'),
    'a key named constructor': Buffer.from('\x81\xabconstructor\x81\xa9prototype\x81\xa1a\x01', 'latin1'),
    'a map with an array for a key': Buffer.from([0x81, 0x91, 0x81, 0x01, 0x02, 0xc0]),
    'a map with the same key twice': Buffer.from('\x82\xa1a\x01\xa1a\x02', 'latin1'),
    NaN: Buffer.from('cb7ff8000000000000', 'hex'),
    'minus zero': Buffer.from('cb8000000000000000', 'hex'),
    infinity: Buffer.from('cb7ff0000000000000', 'hex'),
    '2^64-1': Buffer.from('cfffffffffffffffff', 'hex'),
    '-2^63': Buffer.from('d38000000000000000', 'hex'),
  }
  return [
    ...Object.entries(refused).map(([name, bytes]) => ({ name, bytes, isRefused: true })),
    ...Object.entries(odd).map(([name, bytes]) => ({ name, bytes, isRefused: false })),
  ].map((value) => ({ ...value, bytes: value.bytes.subarray(0, bytesMax) }))
}
