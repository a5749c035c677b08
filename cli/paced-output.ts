import { once } from 'node:events'

/** Written at once; waiting lines are strings, and small writes are slow. */
const writeChars = 65_536

/** Standard output in large pieces, waiting for a slow reader. */
export class PacedOutput {
  readonly #stream: NodeJS.WriteStream
  readonly #signal: AbortSignal
  #text = ''
  #isFull = false
  #hasEnded = false

  /** @param signal - After it nothing is waited for. */
  constructor(stream: NodeJS.WriteStream, signal: AbortSignal) {
    this.#stream = stream
    this.#signal = signal
  }

  onEnd(ended: () => void): void {
    this.#stream.on('error', () => {
      this.#hasEnded = true
      ended()
    })
  }

  line(text: string): void {
    this.#text += `${text}\n`
    if (this.#text.length >= writeChars) this.#write()
  }

  bytes(line: Buffer): void {
    this.#write()
    if (!this.#hasEnded) this.#isFull = !this.#stream.write(Buffer.concat([line, Buffer.from('\n')])) || this.#isFull
  }

  #write(): void {
    if (this.#text !== '' && !this.#hasEnded) this.#isFull = !this.#stream.write(this.#text) || this.#isFull
    this.#text = ''
  }

  /** What to wait for before more is made; undefined when there is room. */
  pace(): Promise<void> | undefined {
    if (!this.#isFull || this.#hasEnded) return undefined
    return this.#drained()
  }

  async #drained(): Promise<void> {
    const ended = new AbortController()
    const stop = () => ended.abort()
    this.#stream.once('error', stop).once('close', stop)
    const signal = AbortSignal.any([ended.signal, this.#signal])
    if (this.#stream.writableNeedDrain) await once(this.#stream, 'drain', { signal }).catch(() => undefined)
    this.#stream.off('error', stop).off('close', stop)
    this.#isFull = false
  }

  async flush(): Promise<void> {
    this.#write()
    await this.pace()
  }
}
