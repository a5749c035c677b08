import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

export default defineConfig({
  root: fileURLToPath(new URL('..', import.meta.url)),
  test: {
    include: ['test/**/*.test.ts'],
    // Processes, not threads: ZeroMQ sockets and signals belong to a process, and a crash must not take other files with it.
    pool: 'forks',
    // Most of the time tests wait for processes, disks and sockets: two files at once, also on two cores, take half as long.
    maxWorkers: 2,
    // Slow machines start real processes in some tests; a test that hangs still ends.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    reporters: ['default'],
  },
})
