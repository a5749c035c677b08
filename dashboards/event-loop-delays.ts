/** How late the event loops of services are, out of what a collector answers under `/metrics`. */

const delayLine = /^nodejs_eventloop_delay_p99(?:_seconds)?\{([^\n]*)\} (\S+)/gm
const serviceLabel = /(?:^|,)service="((?:[^"\\]|\\.)*)"/

/** Milliseconds by service, the highest of its series; empty when nobody tells. */
export function eventLoopDelays(text: string): Map<string, number> {
  const delays = new Map<string, number>()
  for (const [, labels = '', value = ''] of text.matchAll(delayLine)) {
    const label = serviceLabel.exec(labels)?.[1]
    const ms = Number(value) * 1_000
    if (label === undefined || !Number.isFinite(ms)) continue
    const service = label.replaceAll(/\\(.)/g, (_all, char: string) => (char === 'n' ? '\n' : char))
    delays.set(service, Math.max(ms, delays.get(service) ?? 0))
  }
  return delays
}
