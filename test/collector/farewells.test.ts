import { expect, test } from 'vitest'
import { Farewells } from '../../collector/farewells.ts'
import { farewellBytesMax, finishedShownMs } from '../../wire/limits.ts'

const words = (text: string) => ({ topic: 'sys.a.manifest.', topicBytes: Buffer.from('sys.a.manifest.'), frame: Buffer.from(text) })
const due = (farewells: Farewells, nowMs: number) => farewells.takeDue(nowMs).map(({ frame }) => frame.toString())

test('are repeated at growing distances until the application is forgotten', () => {
  const farewells = new Farewells()
  farewells.add('one', words('bye'), 0)
  const said: number[] = []
  for (let nowMs = 0; nowMs <= 2 * finishedShownMs; nowMs += 1_000) if (due(farewells, nowMs).length > 0) said.push(nowMs)
  expect(said).toEqual([1, 3, 7, 15, 31, 63, 127, 255].map((seconds) => seconds * 1_000))
})

test('said anew, the new words are repeated from the beginning', () => {
  const farewells = new Farewells()
  farewells.add('one', words('bye'), 0)
  farewells.add('one', words('bye again'), 500)
  expect(due(farewells, 1_000)).toEqual([])
  expect(due(farewells, 1_500)).toEqual(['bye again'])
})

test('keep what they were given, whatever becomes of the buffer it came in', () => {
  const farewells = new Farewells()
  const given = words('bye')
  farewells.add('one', given, 0)
  given.frame.fill(0)
  expect(due(farewells, 1_000)).toEqual(['bye'])
})

test('of too many applications the oldest are given up', () => {
  const farewells = new Farewells()
  const long = 'x'.repeat(farewellBytesMax / 4)
  for (const name of ['a', 'b', 'c', 'd', 'e']) farewells.add(name, words(name + long.slice(1)), 0)
  expect(due(farewells, 1_000).map((text) => text[0])).toEqual(['b', 'c', 'd', 'e'])
})
