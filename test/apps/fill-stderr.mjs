// Fills whatever is behind stderr, which nobody reads, and leaves it full.
import { writeSync } from 'node:fs'

// Looking at it makes a pipe or socket non-blocking.
void process.stderr
for (const bytes of [65_536, 4_096, 1]) {
  try {
    for (;;) writeSync(2, 'x'.repeat(bytes))
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'EAGAIN') throw error
  }
}
