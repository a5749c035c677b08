/** Names as programs and people give them, awkward ones first: fast-check shrinks towards the simple ones. */
import fc from 'fast-check'
import { type Level, levels } from '../../wire/level.ts'

export const anyLevel: fc.Arbitrary<Level> = fc.constantFrom(...levels)

const awkwardNames = [
  '',
  '.',
  '~',
  '~other',
  '*',
  '>',
  '__proto__',
  'a.b',
  'a/../b',
  'ü',
  '日本',
  '😀',
  '\u0000',
  '~2E',
  '~ggggggggggg',
  '\ufffd',
]

/** Any text that has a UTF-8 form, up to well over the length of a token. */
export const anyName: fc.Arbitrary<string> = fc.oneof(
  fc.constantFrom(...awkwardNames),
  fc.stringMatching(/^[A-Za-z0-9_-]{0,120}$/),
  fc.string({ unit: 'binary', maxLength: 60 }),
  fc.string({ unit: 'grapheme', maxLength: 150 }),
  fc.string({ unit: fc.constantFrom('~', '.', 'a', 'g', 'é'), maxLength: 130 }),
)
