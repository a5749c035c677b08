/** What `/metrics` says, before it is written in one of the formats. */
import type { HistogramValue } from '../../wire/exponential-histogram.ts'

export type LabelPair = readonly [name: string, value: string]

/** The labels of a series, and how the text formats write them: made once, told at every scrape. */
export class LabelSet {
  readonly pairs: readonly LabelPair[]
  /** `name="value",…` without braces; empty when there is none. */
  readonly text: string

  constructor(pairs: readonly LabelPair[]) {
    this.pairs = pairs
    this.text = pairs.map(([name, value]) => `${name}="${escapedLabel(value)}"`).join(',')
  }
}

export interface ValueSample {
  readonly labels: LabelSet
  /** One label more than the set has. */
  readonly extra?: LabelPair
  readonly value: number
}

export interface HistogramSample {
  readonly labels: LabelSet
  readonly count: number
  readonly sum: number
  /** Ascending bounds and how many values were at most so high; the last, of all, is not among them. */
  readonly buckets: readonly (readonly [bound: number, below: number])[]
  /** The same exactly, for the format that can say it; of scale -4 to 8. */
  readonly native?: HistogramValue
}

interface FamilyHead {
  /** Of a counter it ends in `_total`. */
  readonly name: string
  readonly help: string
  /** The last part of the name, without `_total`; empty for none. */
  readonly unit: string
}

export type MetricFamily =
  | (FamilyHead & { readonly kind: 'counter' | 'gauge'; readonly samples: readonly ValueSample[] })
  | (FamilyHead & { readonly kind: 'histogram'; readonly samples: readonly HistogramSample[] })

/** A value may hold anything; only these three end a label. */
function escapedLabel(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
}
