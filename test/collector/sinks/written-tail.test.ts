import { appendFileSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { identityOf } from '../../../collector/sinks/unsynced.ts'
import { WrittenTail } from '../../../collector/sinks/written-tail.ts'
import { tempDir } from '../../support/processes.ts'

const line = (n: number) => Buffer.from(`{"n":${n},"msg":"ü"}\n`)
const lines = (from: number, to: number) => Buffer.concat(Array.from({ length: to - from }, (_, i) => line(from + i)))

async function tailOf(dir: string, text: Buffer | string, size: number) {
  const path = join(dir, 'a.ndjson')
  writeFileSync(path, text)
  return { path, tail: new WrittenTail(path, { identity: identityOf(statSync(path)), size }) }
}

describe('lines that come again', () => {
  test('and stand behind the place are passed, piece by piece, to the end', async () => {
    await using dir = await tempDir()
    const { tail } = await tailOf(dir.path, Buffer.concat([Buffer.from('older\n'), lines(0, 10)]), 'older\n'.length)
    expect(await tail.pass(lines(0, 3))).toEqual({ written: lines(0, 3).length, isEnd: false, isTorn: false })
    expect(await tail.pass(lines(3, 10))).toEqual({ written: lines(3, 10).length, isEnd: false, isTorn: false })
    expect(tail.size).toBe('older\n'.length + lines(0, 10).length)
    expect(await tail.pass(lines(10, 11))).toEqual({ written: 0, isEnd: true, isTorn: false })
  })

  test('and stand there in part, up to any byte, are passed as far as they do', async () => {
    await using dir = await tempDir()
    const all = lines(0, 3)
    for (let length = 0; length < all.length; length += 1) {
      const { tail } = await tailOf(dir.path, all.subarray(0, length), 0)
      const passed = await tail.pass(all)
      expect(passed).toEqual({ written: length, isEnd: true, isTorn: false })
      expect(tail.size).toBe(length)
    }
  })

  test('are found behind lines of somebody else', async () => {
    await using dir = await tempDir()
    const foreign = 'written by hand\n'
    const { tail } = await tailOf(dir.path, Buffer.concat([Buffer.from(foreign), lines(0, 2)]), 0)
    expect(await tail.pass(lines(0, 3))).toEqual({ written: lines(0, 2).length, isEnd: true, isTorn: false })
    expect(tail.size).toBe(foreign.length + lines(0, 2).length)
  })

  test('and are not there are not passed, nor is anything that comes later', async () => {
    await using dir = await tempDir()
    const { tail } = await tailOf(dir.path, 'something else\nand more', 0)
    expect(await tail.pass(lines(0, 2))).toEqual({ written: 0, isEnd: true, isTorn: true })
  })

  test('and stand there in part, with something else behind, are not ours to continue', async () => {
    await using dir = await tempDir()
    const { tail } = await tailOf(dir.path, Buffer.concat([Buffer.from('x\n'), lines(0, 1), Buffer.from('{"n":1,"tampered')]), 0)
    expect((await tail.pass(lines(0, 2))).isTorn).toBe(true)
  })
})

test.each([
  ['is gone', undefined],
  ['is shorter than its place', 'short'],
])('a file that %s has nothing of what comes', async (_what, text) => {
  await using dir = await tempDir()
  const path = join(dir.path, 'a.ndjson')
  if (text !== undefined) writeFileSync(path, text)
  const tail = new WrittenTail(path, { identity: '1:1', size: 1_000 })
  expect(await tail.pass(lines(0, 1))).toEqual({ written: 0, isEnd: true, isTorn: false })
})

test('a symlink is not followed', async () => {
  await using dir = await tempDir()
  writeFileSync(join(dir.path, 'target'), lines(0, 1))
  symlinkSync(join(dir.path, 'target'), join(dir.path, 'a.ndjson'))
  const tail = new WrittenTail(join(dir.path, 'a.ndjson'), { identity: '1:1', size: 0 })
  expect(await tail.pass(lines(0, 1))).toEqual({ written: 0, isEnd: true, isTorn: false })
})

test('it only reads', async () => {
  await using dir = await tempDir()
  const { path, tail } = await tailOf(dir.path, lines(0, 2), 0)
  appendFileSync(path, 'torn')
  const before = readFileSync(path)
  await tail.pass(lines(0, 3))
  await tail.pass(lines(5, 6))
  expect(readFileSync(path)).toEqual(before)
})
