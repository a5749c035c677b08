import { readFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, test, vi } from 'vitest'
import { dropBytes, WriteBuffer, writeFully } from '../../collector/write-buffer.ts'
import { tempDir } from '../support/processes.ts'

const piece = fc.oneof(
  fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
  fc.tuple(fc.integer({ min: 8_000, max: 70_000 }), fc.nat(255)).map(([length, byte]) => Buffer.alloc(length, byte)),
)

test('gives back every byte in order, however it is filled, taken, and put back', () => {
  const step = fc.oneof(
    fc.record({ do: fc.constant('push' as const), piece }),
    fc.record({ do: fc.constant('take' as const), share: fc.double({ min: 0, max: 1, noNaN: true }) }),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const buffer = new WriteBuffer()
      const pushed: Buffer[] = []
      const written: Buffer[] = []
      const length = (chunks: readonly Buffer[]) => chunks.reduce((sum, chunk) => sum + chunk.length, 0)
      for (const it of steps) {
        if (it.do === 'push') {
          // Whoever pushes a small piece may write over it at once.
          const own = Buffer.from(it.piece)
          pushed.push(it.piece)
          buffer.push(own)
          if (own.length < 8_000) own.fill(0xee)
        } else {
          const chunks = buffer.take()
          expect(buffer.byteLength).toBe(0)
          const bytes = Math.floor(it.share * length(chunks))
          const left = dropBytes(chunks, bytes)
          // Copied: what is written is done with, and its memory may be used again.
          written.push(Buffer.concat(chunks).subarray(0, bytes))
          buffer.putBack(left)
        }
        expect(buffer.byteLength).toBe(length(pushed) - length(written))
      }
      written.push(...buffer.take())
      expect(Buffer.concat(written).equals(Buffer.concat(pushed))).toBe(true)
    }),
  )
})

test('dropping bytes leaves the rest, and never an empty piece', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ minLength: 1, maxLength: 9 }), { maxLength: 8 }), fc.nat(80), (pieces, bytes) => {
      const chunks = pieces.map((each) => Buffer.from(each))
      const left = dropBytes(chunks, bytes)
      expect(Buffer.concat(left)).toEqual(Buffer.concat(chunks).subarray(bytes))
      for (const chunk of left) expect(chunk.length).toBeGreaterThan(0)
    }),
  )
})

test('a write goes on after a short one, and takes more pieces than the system does at one time', async () => {
  await using dir = await tempDir()
  const path = join(dir.path, 'a')
  const handle = await open(path, 'a')
  const writev = handle.writev.bind(handle)
  let calls = 0
  vi.spyOn(handle, 'writev').mockImplementation((buffers) => {
    calls += 1
    const [first, ...rest] = buffers as readonly Buffer[]
    return writev(calls % 2 === 1 ? [first?.subarray(0, 3) ?? Buffer.alloc(0)] : [first ?? Buffer.alloc(0), ...rest])
  })
  const chunks = Array.from({ length: 3_000 }, (_, n) => Buffer.from(`piece ${n}\n`))
  const expected = Buffer.concat(chunks)
  expect(await writeFully(handle, chunks)).toEqual({ written: expected.length, error: undefined })
  await handle.close()
  expect(readFileSync(path).equals(expected)).toBe(true)
  expect(calls).toBeGreaterThan(3_000 / 1_024)
})

test('a write that fails says how much was written before', async () => {
  await using dir = await tempDir()
  const path = join(dir.path, 'a')
  const handle = await open(path, 'a')
  const writev = handle.writev.bind(handle)
  const full = Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' })
  vi.spyOn(handle, 'writev')
    .mockImplementationOnce(() => writev([Buffer.from('abcd')]))
    .mockRejectedValueOnce(full)
  expect(await writeFully(handle, [Buffer.from('abc'), Buffer.from('def')])).toEqual({ written: 4, error: full })
  await handle.close()
  expect(readFileSync(path, 'utf8')).toBe('abcd')
})
