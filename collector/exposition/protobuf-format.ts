/**
 * Metric families as Prometheus' protobuf format: messages `io.prometheus.client.MetricFamily`, each behind its length.
 * The one format in which Prometheus 2 and 3 scrape native histograms. Field numbers are those of `metrics.proto` in
 * https://github.com/prometheus/client_model; its native histograms are described in
 * https://prometheus.io/docs/specs/native_histograms/
 */
import type { BucketCounts, HistogramValue } from '../../wire/exponential-histogram.ts'
import type { HistogramSample, LabelPair, LabelSet, MetricFamily, ValueSample } from './metric-family.ts'

export const protobufType = 'application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited'

const kinds = { counter: 0, gauge: 1, histogram: 4 } as const
/** A gap of more empty buckets than this begins a new span: a span takes about as many bytes. */
const spanGapMax = 2

/** Families without samples are left out. */
export function protobufFamilies(families: readonly MetricFamily[]): Buffer {
  const out = new ProtobufWriter()
  for (const family of families) if (family.samples.length > 0) out.delimited(() => writeFamily(out, family))
  return out.bytes()
}

function writeFamily(out: ProtobufWriter, family: MetricFamily): void {
  out.string(1, family.name)
  out.string(2, family.help)
  out.uint(3, kinds[family.kind])
  if (family.kind === 'histogram') for (const sample of family.samples) out.message(4, () => writeHistogram(out, sample))
  else for (const sample of family.samples) out.message(4, () => writeValue(out, family.kind === 'counter' ? 3 : 2, sample))
  if (family.unit !== '') out.string(5, family.unit)
}

function writeLabels(out: ProtobufWriter, labels: LabelSet, extra?: LabelPair): void {
  for (const [name, value] of extra === undefined ? labels.pairs : [...labels.pairs, extra]) {
    out.message(1, () => {
      out.string(1, name)
      out.string(2, value)
    })
  }
}

function writeValue(out: ProtobufWriter, field: number, { labels, extra, value }: ValueSample): void {
  writeLabels(out, labels, extra)
  out.message(field, () => out.double(1, value))
}

function writeHistogram(out: ProtobufWriter, { labels, count, sum, buckets, native }: HistogramSample): void {
  writeLabels(out, labels)
  out.message(7, () => {
    out.uint(1, count)
    out.double(2, sum)
    for (const [bound, below] of buckets) {
      out.message(3, () => {
        out.uint(1, below)
        out.double(2, bound)
      })
    }
    if (native !== undefined) writeNative(out, native)
  })
}

function writeNative(out: ProtobufWriter, { scale, zeroCount, positive, negative }: HistogramValue): void {
  out.sint(5, scale)
  // Only zero itself is counted as zero. Written even so: it is how a histogram without values is known for a native one.
  out.double(6, 0)
  out.uint(7, zeroCount)
  writeBuckets(out, { span: 9, delta: 10 }, negative)
  const spans = writeBuckets(out, { span: 12, delta: 13 }, positive)
  // An empty span says "native" where nothing else does.
  if (spans === 0) out.message(12, () => out.sint(1, 0))
}

/** Runs of buckets, and each bucket's count as the difference to the one before it. Returns how many runs there are. */
function writeBuckets(
  out: ProtobufWriter,
  fields: { readonly span: number; readonly delta: number },
  { offset, counts }: BucketCounts,
): number {
  const spans: { from: number; to: number }[] = []
  for (const [i, count] of counts.entries()) {
    if (count === 0) continue
    const last = spans.at(-1)
    if (last === undefined || i - last.to > spanGapMax) spans.push({ from: i, to: i + 1 })
    else last.to = i + 1
  }
  let end: number | undefined
  for (const { from, to } of spans) {
    const gap = end === undefined ? offset + from + 1 : from - end
    out.message(fields.span, () => {
      // Prometheus numbers a bucket by its upper end, OpenTelemetry by its lower.
      out.sint(1, gap)
      out.uint(2, to - from)
    })
    end = to
  }
  let before = 0
  for (const { from, to } of spans) {
    for (const count of counts.slice(from, to)) {
      out.sint(fields.delta, count - before)
      before = count
    }
  }
  return spans.length
}

/** As much of protobuf's encoding as these messages need. https://protobuf.dev/programming-guides/encoding/ */
class ProtobufWriter {
  #buffer = Buffer.allocUnsafe(65_536)
  #length = 0

  bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length)
  }

  uint(field: number, value: number): void {
    this.#varint(field * 8)
    this.#varint(value)
  }

  /** Zigzag: small numbers of either sign take few bytes. */
  sint(field: number, value: number): void {
    this.uint(field, value < 0 ? -2 * value - 1 : 2 * value)
  }

  double(field: number, value: number): void {
    this.#varint(field * 8 + 1)
    this.#room(8)
    this.#length = this.#buffer.writeDoubleLE(value, this.#length)
  }

  string(field: number, text: string): void {
    this.#varint(field * 8 + 2)
    const bytes = Buffer.byteLength(text, 'utf8')
    this.#varint(bytes)
    this.#room(bytes)
    this.#length += this.#buffer.write(text, this.#length, bytes, 'utf8')
  }

  message(field: number, write: () => void): void {
    this.#varint(field * 8 + 2)
    this.delimited(write)
  }

  /** What `write` writes, behind its length. */
  delimited(write: () => void): void {
    const start = this.#length
    write()
    const bytes = this.#length - start
    // The length takes as many bytes as it takes; only then is it known where the message begins.
    const head = varintBytes(bytes)
    this.#room(head)
    this.#buffer.copyWithin(start + head, start, this.#length)
    this.#length = start
    this.#varint(bytes)
    this.#length += bytes
  }

  #varint(value: number): void {
    this.#room(10)
    let left = value
    // Counts go up to 2^53: no bit operations, which end at 2^32.
    while (left >= 0x80) {
      this.#buffer[this.#length] = (left % 0x80) + 0x80
      this.#length += 1
      left = Math.floor(left / 0x80)
    }
    this.#buffer[this.#length] = left
    this.#length += 1
  }

  #room(bytes: number): void {
    if (this.#length + bytes <= this.#buffer.length) return
    const larger = Buffer.allocUnsafe(2 * (this.#buffer.length + bytes))
    this.#buffer.copy(larger, 0, 0, this.#length)
    this.#buffer = larger
  }
}

function varintBytes(value: number): number {
  let bytes = 1
  for (let left = Math.floor(value / 0x80); left > 0; left = Math.floor(left / 0x80)) bytes += 1
  return bytes
}
