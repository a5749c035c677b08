/**
 * Numbers in few bytes, written one after the other:
 *
 *   count     whole, from 0       7 bits a byte, lowest first, the eighth says that more follow
 *   number    any                 0 count zigzag | 1 float32 that is exactly it | 2 float64
 */
const chunkBytes = 16_384
const wholeMax = 2 ** 51

export class NumberWriter {
  #bytes: Buffer = Buffer.allocUnsafe(chunkBytes)
  #end = 0

  get length(): number {
    return this.#end
  }

  count(value: number): void {
    this.#room(8)
    let left = value
    while (left >= 128) {
      this.#bytes[this.#end] = (left % 128) + 128
      this.#end += 1
      left = Math.floor(left / 128)
    }
    this.#bytes[this.#end] = left
    this.#end += 1
  }

  zigzag(value: number): void {
    this.count(value < 0 ? -2 * value - 1 : 2 * value)
  }

  number(value: number): void {
    this.#room(9)
    if (Number.isInteger(value) && Math.abs(value) < wholeMax && !Object.is(value, -0)) {
      this.byte(0)
      this.zigzag(value)
    } else if (Math.fround(value) === value) {
      this.byte(1)
      this.#room(4)
      this.#end = this.#bytes.writeFloatLE(value, this.#end)
    } else {
      this.byte(2)
      this.float(value)
    }
  }

  byte(value: number): void {
    this.#room(1)
    this.#bytes[this.#end] = value
    this.#end += 1
  }

  float(value: number): void {
    this.#room(8)
    this.#end = this.#bytes.writeDoubleLE(value, this.#end)
  }

  /** Leaves four bytes for a length that is not known yet, and says where. */
  lengthLater(): number {
    this.#room(4)
    this.#end += 4
    return this.#end
  }

  lengthNow(from: number): void {
    this.#bytes.writeUInt32LE(this.#end - from, from - 4)
  }

  /** What was written; the writer is done with. */
  take(): Buffer {
    return this.#bytes.subarray(0, this.#end)
  }

  #room(bytes: number): void {
    if (this.#end + bytes <= this.#bytes.length) return
    const larger = Buffer.allocUnsafe(2 * this.#bytes.length)
    this.#bytes.copy(larger, 0, 0, this.#end)
    this.#bytes = larger
  }
}

/** Reads what {@link NumberWriter} wrote. Throws a RangeError behind the end: whoever reads a file expects that. */
export class NumberReader {
  at = 0
  readonly #bytes: Buffer

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  get isAtEnd(): boolean {
    return this.at >= this.#bytes.length
  }

  byte(): number {
    const value = this.#bytes[this.at]
    if (value === undefined) throw new RangeError('behind the end')
    this.at += 1
    return value
  }

  count(): number {
    let value = 0
    let weight = 1
    for (let i = 0; i < 8; i += 1) {
      const byte = this.byte()
      value += (byte % 128) * weight
      if (byte < 128) return value
      weight *= 128
    }
    throw new RangeError('a count that does not end')
  }

  zigzag(): number {
    const value = this.count()
    return value % 2 === 1 ? -(value + 1) / 2 : value / 2
  }

  number(): number {
    const form = this.byte()
    if (form === 0) return this.zigzag()
    const from = this.at
    this.at += form === 1 ? 4 : 8
    return form === 1 ? this.#bytes.readFloatLE(from) : this.#bytes.readDoubleLE(from)
  }

  float(): number {
    this.at += 8
    return this.#bytes.readDoubleLE(this.at - 8)
  }

  length(): number {
    this.at += 4
    return this.#bytes.readUInt32LE(this.at - 4)
  }
}
