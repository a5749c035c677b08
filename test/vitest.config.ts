import { fileURLToPath } from 'node:url'
import { configDefaults, defineConfig } from 'vitest/config'

/** Processes in these have fractions of a second to end in, as they do for users: nothing else runs beside them. */
const alone = ['test/agent/ends-well.test.ts', 'test/agent/survives.test.ts', 'test/traps/agent.test.ts']

export default defineConfig({
  root: fileURLToPath(new URL('..', import.meta.url)),
  test: {
    // Processes, not threads: ZeroMQ sockets and signals belong to a process, and a crash must not take other files with it.
    pool: 'forks',
    // Slow machines start real processes in some tests; a test that hangs still ends.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    reporters: ['default'],
    projects: [
      {
        extends: true,
        // Most of the time tests wait for processes, disks and sockets: two files at once, also on two cores, take half as long.
        test: {
          name: 'together',
          include: ['test/**/*.test.ts'],
          exclude: [...configDefaults.exclude, ...alone],
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      { extends: true, test: { name: 'alone', include: alone, maxWorkers: 1, sequence: { groupOrder: 1 } } },
    ],
  },
})
