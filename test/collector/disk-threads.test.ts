import { expect, test } from 'vitest'
import { threadsTrouble } from '../../collector/disk-threads.ts'

test('a pool that sinks whose disks hang could use up is told, with the size it should have', () => {
  expect(threadsTrouble(2, undefined)).toMatch(/4 threads for files, and 2 file sinks .* may take 12; .*UV_THREADPOOL_SIZE=16$/)
  expect(threadsTrouble(2, '15')).toMatch(/UV_THREADPOOL_SIZE=16$/)
  expect(threadsTrouble(2, '16')).toBeUndefined()
  expect(threadsTrouble(11, '64')).toMatch(/UV_THREADPOOL_SIZE=70$/)
  expect(threadsTrouble(10, '64')).toBeUndefined()
  // Of one sink no other depends.
  expect(threadsTrouble(1, undefined)).toBeUndefined()
})
