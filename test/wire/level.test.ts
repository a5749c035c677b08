import fc from 'fast-check'
import { expect, test } from 'vitest'
import { errorRank, infoRank, levelNumbers, levels, rankOfName, rankOfNumber } from '../../wire/level.ts'

test('the six levels go from least to most important, and pino’s numbers with them', () => {
  expect(levels).toEqual(['trace', 'debug', 'info', 'warn', 'error', 'fatal'])
  for (const [rank, level] of levels.entries()) {
    expect(rankOfName(level)).toBe(rank)
    expect(rankOfName(level.toUpperCase())).toBe(rank)
    expect(rankOfNumber(levelNumbers[level])).toBe(rank)
  }
  expect([levels[infoRank], levels[errorRank]]).toEqual(['info', 'error'])
})

test('a custom level goes to the nearest standard one at or below it', () => {
  fc.assert(
    fc.property(fc.oneof(fc.integer({ min: -10, max: 100 }), fc.double({ min: 0, max: 70, noNaN: true })), (number) => {
      const below = levels.filter((level) => levelNumbers[level] <= number).at(-1) ?? 'trace'
      expect(levels[rankOfNumber(number)]).toBe(below)
    }),
  )
})

test.each(['', 'loud', 'infos', '__proto__', 'toString'])('%j is no level', (name) => {
  expect(rankOfName(name)).toBeUndefined()
})
