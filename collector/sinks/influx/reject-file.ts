/** Lines a server refused for good, one JSON object each, for somebody to look at. Bounded; what does not fit is counted only. */
import { constants } from 'node:fs'
import { mkdir, open } from 'node:fs/promises'
import { dirname } from 'node:path'

const fileMode = 0o600
const folderMode = 0o700

export interface Reject {
  /** In the line protocol. */
  readonly line: string
  readonly reason: string
}

export class RejectFile {
  readonly path: string
  readonly #bytesMax: number
  readonly #onTrouble: (message: string) => void
  /** Told once until it works again. */
  #isTold = false

  constructor(path: string, bytesMax: number, onTrouble: (message: string) => void) {
    this.path = path
    this.#bytesMax = bytesMax
    this.#onTrouble = onTrouble
  }

  /** Appends what fits. Never rejects: a disk that is full must not hold up what is good. */
  async append(rejects: readonly Reject[]): Promise<void> {
    const time = new Date().toISOString()
    const text = rejects.map(({ line, reason }) => `${JSON.stringify({ time, reason, line })}\n`).join('')
    try {
      await mkdir(dirname(this.path), { recursive: true, mode: folderMode })
      const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND | constants.O_NOFOLLOW
      await using handle = await open(this.path, flags, fileMode)
      const { size } = await handle.stat()
      if (size + text.length > this.#bytesMax) throw new Error(`it has ${size} bytes; move it away for more`)
      await handle.appendFile(text)
      this.#isTold = false
    } catch (error) {
      if (!this.#isTold) {
        this.#onTrouble(
          `${this.path} does not take refused lines, they are only counted: ${error instanceof Error ? error.message : error}`,
        )
      }
      this.#isTold = true
    }
  }
}
