#!/usr/bin/env node
// Node's pool of threads for files has the size it is told before its first use, and loading a module of the other kind
// is one: this has to be CommonJS, and first. Each file on a disk that hangs takes threads out of the pool for as long.
// 60 are for ten sinks whose disks all hang, with six calls each, and four for the spool. They cost half a MiB in all.
if (process.argv[2] === 'collector') process.env['UV_THREADPOOL_SIZE'] ??= '64'

void import('./main.ts')
