import { expect, test } from 'vitest'
import { Depth } from '../../collector/depth.ts'

test('tells the most it has held since it was last asked, and never less than what it holds', () => {
  const depth = new Depth()
  expect([depth.now, depth.takePeak()]).toEqual([0, 0])
  for (const value of [3, 10, 4]) depth.set(value)
  expect(depth.now).toBe(4)
  expect(depth.takePeak()).toBe(10)
  expect(depth.takePeak()).toBe(4)
  depth.set(1)
  expect(depth.takePeak()).toBe(4)
  expect(depth.takePeak()).toBe(1)
  depth.set(7)
  depth.set(0)
  expect([depth.now, depth.takePeak(), depth.takePeak()]).toEqual([0, 7, 0])
})
