/** Outputs that are full and that nobody reads, to give to a process as its stdout or stderr. */
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, constants, openSync, writeSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { appsDir, tempDir } from '../support/processes.ts'

export interface UnreadOutput extends AsyncDisposable {
  readonly stdio: number | Socket
}

export async function unreadPipe(): Promise<UnreadOutput> {
  const dir = await tempDir()
  const path = join(dir.path, 'pipe')
  execFileSync('mkfifo', [path])
  const reader = openSync(path, constants.O_RDWR | constants.O_NONBLOCK)
  fill(reader)
  const fd = openSync(path, constants.O_WRONLY)
  return {
    stdio: fd,
    async [Symbol.asyncDispose]() {
      closeSync(reader)
      closeSync(fd)
      await dir[Symbol.asyncDispose]()
    },
  }
}

function fill(fd: number): void {
  for (const bytes of [4_096, 1]) {
    try {
      for (;;) writeSync(fd, 'x'.repeat(bytes))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error
    }
  }
}

export async function unreadSocket(): Promise<UnreadOutput> {
  const dir = await tempDir()
  const path = join(dir.path, 'socket')
  const server = createServer({ pauseOnConnect: true })
  const accepted = once(server, 'connection')
  await new Promise<void>((resolve) => server.listen(path, resolve))
  const socket = connect(path)
  const [peer] = (await accepted) as [Socket]
  // Filled by a process of its own: what it does to the socket's flags is undone when the next one starts.
  const [code] = await once(spawn(process.execPath, [join(appsDir, 'fill-stderr.mjs')], { stdio: ['ignore', 'ignore', socket] }), 'exit')
  if (code !== 0) throw new Error(`the socket could not be filled: ${code}`)
  return {
    stdio: socket,
    async [Symbol.asyncDispose]() {
      socket.destroy()
      peer.destroy()
      server.close()
      await dir[Symbol.asyncDispose]()
    },
  }
}
