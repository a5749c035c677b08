/**
 * Metrics made of log lines: how many there are by service and level, and what the rules of the configuration count or
 * measure.
 *
 *   topic ─► rules for it? ─no─► nothing is read          a frame of a topic costs one look-up
 *              └─yes─► text of the frame holds what must be in a match? ─► line too? ─► parsed once, for all rules
 *
 * Service and level are in the topic, the number of lines is in the frame: the count by level reads no line.
 */

import { ExponentialHistogram } from '../../wire/exponential-histogram.ts'
import { compileExpression, type Expression } from '../../wire/expression/expression.ts'
import { hasEscapes } from '../../wire/expression/line-filter.ts'
import { type LogRecord, recordOf } from '../../wire/expression/log-record.ts'
import type { Level } from '../../wire/level.ts'
import { logMetricTextCharsMax } from '../../wire/limits.ts'
import { type CompiledPatterns, compilePatterns } from '../../wire/pattern.ts'
import { type AttributeValue, encodeAttributes } from '../../wire/points.ts'
import { parseTopic, type Topic } from '../../wire/topic.ts'
import type { RollUp } from './roll-up.ts'

/** A rule: which lines are counted, or whose value is measured, and what tells its series apart. */
export interface LogMetricConfig {
  /** Lines of these topics. */
  readonly topics: readonly string[]
  /** Condition; see docs/QUERY.md. Undefined for every line. */
  readonly where: string | undefined
  /** What is measured: an expression for a number. Undefined where lines are counted. */
  readonly value: string | undefined
  /** `service`, `level`, or an expression for a text, a number or a truth value. */
  readonly by: readonly string[]
  /** UCUM, or ''. */
  readonly unit: string
  readonly description: string
}

interface Rule extends LogMetricConfig {
  readonly name: string
  readonly patterns: CompiledPatterns
  readonly condition: Expression | undefined
  readonly measured: Expression | undefined
  /** Label and how to find its value; without the service, which is told apart. */
  readonly labels: readonly (readonly [label: string, of: Expression | 'level'])[]
  readonly isByService: boolean
}

/** What is known of a topic. */
interface TopicRules {
  readonly service: string
  readonly level: Level
  readonly levelAttributes: string
  readonly rules: readonly Rule[]
  /** Texts of which a frame with a match has one; undefined when it may match without. */
  readonly needles: readonly string[] | undefined
}

export interface FrameOfLines {
  /** Each ended by LF. */
  readonly lines: Buffer
  readonly count: number
  /** When the first was accepted, Unix ms. */
  readonly timeMs: number
  /** When they came, Unix ms. */
  readonly nowMs: number
}

const topicsKnownMax = 10_000
const lineCount = { name: 'log.lines', type: 'counter', unit: '{line}', description: 'Log lines received, by level.' } as const

export class LogMetrics {
  readonly #rules: readonly Rule[]
  readonly #rollUp: Pick<RollUp, 'add'>
  readonly #topics = new Map<Topic, TopicRules | undefined>()

  /** @param configs - Checked rules, by the name of the metric. */
  constructor(configs: Readonly<Record<string, LogMetricConfig>>, rollUp: Pick<RollUp, 'add'>) {
    this.#rules = Object.entries(configs).map(([name, config]) => ruleOf(name, config))
    this.#rollUp = rollUp
  }

  /** Takes lines of a topic that have not come before. Never throws. */
  take(topic: Topic, frame: FrameOfLines): void {
    const known = this.#known(topic)
    if (known === undefined) return
    const { service, levelAttributes: attributes, rules } = known
    this.#rollUp.add({ ...lineCount, service }, { attributes, value: frame.count }, frame.timeMs, frame.nowMs)
    if (rules.length > 0) this.#apply(known, topic, frame)
  }

  #known(topic: Topic): TopicRules | undefined {
    if (this.#topics.has(topic)) return this.#topics.get(topic)
    const parts = parseTopic(topic)
    const known = parts?.kind === 'log' ? this.#rulesFor(topic, parts) : undefined
    // Hostile names come without end; the cache starts over.
    if (this.#topics.size >= topicsKnownMax) this.#topics.clear()
    this.#topics.set(topic, known)
    return known
  }

  #rulesFor(topic: Topic, { service, level }: { readonly service: string; readonly level: Level }): TopicRules {
    const rules = this.#rules.filter(({ patterns, condition }) => {
      const filter = condition?.lineFilter
      return patterns.matches(topic) && (filter?.levels?.has(level) ?? true) && (filter?.services?.has(service) ?? true)
    })
    const needles = rules.map(({ condition }) => condition?.lineFilter.needle)
    const areKnown = needles.every((needle) => needle !== undefined)
    return { service, level, levelAttributes: encodeAttributes({ level }), rules, needles: areKnown ? needles : undefined }
  }

  #apply({ service, level, rules, needles }: TopicRules, topic: Topic, { lines, timeMs, nowMs }: FrameOfLines): void {
    const text = lines.toString('utf8')
    if (needles !== undefined && !needles.some((needle) => text.includes(needle)) && !hasEscapes(text)) return
    const tallies = rules.map((rule) => new Tally(rule))
    const origin = { topic, service, level, timeMs }
    for (let at = 0; at < text.length; ) {
      const end = text.indexOf('\n', at)
      const line = text.slice(at, end === -1 ? text.length : end)
      at += line.length + 1
      let record: LogRecord | undefined
      for (const tally of tallies) {
        if (!tally.mayMatch(line)) continue
        record ??= recordOf(line, origin)
        tally.take(record)
      }
    }
    for (const tally of tallies) tally.addTo(this.#rollUp, service, { timeMs, nowMs })
  }
}

/** What one rule has found in one frame. */
class Tally {
  readonly #rule: Rule
  readonly #counts = new Map<string, number>()
  readonly #histograms = new Map<string, ExponentialHistogram>()

  constructor(rule: Rule) {
    this.#rule = rule
  }

  mayMatch(line: string): boolean {
    return this.#rule.condition?.lineFilter.mayMatch(line) ?? true
  }

  take(record: LogRecord): void {
    const { condition, measured } = this.#rule
    if (condition !== undefined && !condition.matches(record)) return
    if (measured === undefined) {
      const attributes = this.#attributesOf(record)
      this.#counts.set(attributes, (this.#counts.get(attributes) ?? 0) + 1)
      return
    }
    const value = measured.evaluate(record)
    if (typeof value !== 'number' || !Number.isFinite(value)) return
    const attributes = this.#attributesOf(record)
    let histogram = this.#histograms.get(attributes)
    if (histogram === undefined) {
      histogram = new ExponentialHistogram()
      this.#histograms.set(attributes, histogram)
    }
    histogram.record(value)
  }

  #attributesOf(record: LogRecord): string {
    const attributes: Record<string, AttributeValue> = Object.create(null)
    for (const [label, of] of this.#rule.labels) {
      const value = of === 'level' ? record.level : of.evaluate(record)
      if (typeof value === 'string') attributes[label] = value.slice(0, logMetricTextCharsMax)
      else if (typeof value === 'boolean' || (typeof value === 'number' && Number.isFinite(value))) attributes[label] = value
    }
    return encodeAttributes(attributes)
  }

  addTo(rollUp: Pick<RollUp, 'add'>, from: string, { timeMs, nowMs }: { readonly timeMs: number; readonly nowMs: number }): void {
    const { name, unit, description, isByService } = this.#rule
    const told = { name, unit, description, service: isByService ? from : undefined }
    for (const [attributes, value] of this.#counts) rollUp.add({ ...told, type: 'counter' }, { attributes, value }, timeMs, nowMs)
    for (const [attributes, histogram] of this.#histograms)
      rollUp.add({ ...told, type: 'histogram' }, { attributes, ...histogram.value() }, timeMs, nowMs)
  }
}

function ruleOf(name: string, config: LogMetricConfig): Rule {
  const { where, value, by, topics } = config
  return {
    ...config,
    name,
    patterns: compilePatterns(topics),
    condition: where === undefined ? undefined : compileExpression(where, `metrics.${name}.where`),
    measured: value === undefined ? undefined : compileExpression(value, `metrics.${name}.value`, 'value'),
    labels: by
      .filter((label) => label !== 'service')
      .map((label) => [label, label === 'level' ? 'level' : compileExpression(label, `metrics.${name}.by`, 'value')]),
    isByService: by.includes('service'),
  }
}
