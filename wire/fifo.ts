/** A first-in first-out list whose `shift` is cheap: an array with a moving head, moved together now and then. */
export class Fifo<T> {
  #items: (T | undefined)[] = []
  #head = 0

  get length(): number {
    return this.#items.length - this.#head
  }

  push(item: T): void {
    this.#items.push(item)
  }

  peek(): T | undefined {
    return this.#items[this.#head]
  }

  shift(): T | undefined {
    const item = this.#items[this.#head]
    if (this.length === 0) return undefined
    // What has left must not be kept from the garbage collector: it may hold a frame.
    this.#items[this.#head] = undefined
    this.#head += 1
    if (this.#head > 64 && this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head)
      this.#head = 0
    }
    return item
  }

  /** Keeps what `keep` accepts, in order. */
  retain(keep: (item: T) => boolean): void {
    this.#items = this.#items.slice(this.#head).filter((item) => keep(item as T))
    this.#head = 0
  }

  clear(): void {
    this.#items = []
    this.#head = 0
  }

  /** Items in order; what is kept or shifted meanwhile does not disturb it. */
  *[Symbol.iterator](): Generator<T> {
    yield* this.from(0)
  }

  /** Items from the `index`-th on. */
  *from(index: number): Generator<T> {
    const items = this.#items
    for (let i = this.#head + index; i < items.length; i += 1) yield items[i] as T
  }

  at(index: number): T | undefined {
    return this.#items[this.#head + index]
  }
}
