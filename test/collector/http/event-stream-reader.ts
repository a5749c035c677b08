/** A page's end of a stream of server-sent events: `EventSource` for tests. */
import { until } from '../../support/until.ts'

export interface StreamEvent {
  readonly name: string
  readonly data: unknown
}

export class EventStreamReader implements AsyncDisposable {
  readonly events: StreamEvent[] = []
  bytes = 0
  readonly #left = new AbortController()
  #reading: Promise<void> = Promise.resolve()

  /** @throws When it is not answered with a stream. */
  static async open(url: string, headers: Record<string, string> = {}): Promise<EventStreamReader> {
    const reader = new EventStreamReader()
    const response = await fetch(url, { headers: { accept: 'text/event-stream', ...headers }, signal: reader.#left.signal })
    if (response.status !== 200 || response.body === null) throw new Error(`${response.status}: ${await response.text()}`)
    reader.#reading = reader.#read(response.body).catch(() => undefined)
    return reader
  }

  async #read(body: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder()
    let text = ''
    for await (const part of body) {
      this.bytes += part.length
      text += decoder.decode(part, { stream: true })
      for (let end = text.indexOf('\n\n'); end !== -1; end = text.indexOf('\n\n')) {
        this.#take(text.slice(0, end))
        text = text.slice(end + 2)
      }
    }
  }

  #take(block: string): void {
    const [, name, data] = /^event: (\w+)\ndata: (.*)$/s.exec(block) ?? []
    if (name !== undefined && data !== undefined) this.events.push({ name, data: JSON.parse(data) })
  }

  all<T>(name: string): T[] {
    return this.events.filter((event) => event.name === name).map(({ data }) => data as T)
  }

  async next<T>(name: string, is: (data: T) => boolean = () => true): Promise<T> {
    return (await until(() => this.all<T>(name).findLast(is) as T & object, { what: `an event ${name} comes` })) as T
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#left.abort()
    await this.#reading
  }
}
