/** Sinks, spool and the collector itself. */
import type { JSX } from 'preact'
import type { Flow, Overview, SinkFlow } from './api-types.ts'
import { bytes, clock, cores, count, duration, rate } from './number-format.ts'
import { Fact } from './overview-view.tsx'
import type { Pulse } from './pulse.ts'

export function HealthView({ pulse: { overview, flow, hello } }: { readonly pulse: Pulse }): JSX.Element {
  if (overview === undefined || flow === undefined) return <main aria-busy="true">Waiting for the collector…</main>
  return (
    <main>
      <h2>Sinks</h2>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard */}
      <section class="scroll" tabIndex={0} aria-label="Sinks">
        <table>
          <thead>
            <tr>
              <th scope="col">sink</th>
              <th scope="col">state</th>
              <th scope="col" class="number">
                rate
              </th>
              <th scope="col" class="number">
                waiting
              </th>
              <th scope="col" class="number">
                behind
              </th>
              <th scope="col" class="number">
                written
              </th>
              <th scope="col" class="number">
                rejected
              </th>
              <th scope="col" class="number">
                expired
              </th>
              <th scope="col">where</th>
            </tr>
          </thead>
          <tbody>
            {overview.sinks.map((sink) => (
              <SinkRow key={sink.name} sink={sink} />
            ))}
          </tbody>
        </table>
      </section>
      <h2>Collector</h2>
      <CollectorFacts overview={overview} flow={flow} run={hello?.run} />
    </main>
  )
}

const looks = { ok: 'good', stalled: 'warn', failing: 'bad' } as const

function SinkRow({ sink }: { readonly sink: SinkFlow }): JSX.Element {
  return (
    <tr data-sink={sink.name}>
      <th scope="row">{sink.name}</th>
      <td class={looks[sink.state]}>
        {sink.state}
        {sink.lastError !== null && <div class="quiet">{sink.lastError}</div>}
      </td>
      <td class="number">{rate(sink.ratePerSecond)}</td>
      <td class="number">{count(sink.lagRecords)}</td>
      <td class="number">{duration(sink.lagMs)}</td>
      <td class="number">{count(sink.written)}</td>
      <td class={`number ${sink.rejected > 0 ? 'bad' : ''}`}>{count(sink.rejected)}</td>
      <td class={`number ${sink.expired > 0 ? 'bad' : ''}`}>{count(sink.expired)}</td>
      <td>
        {sink.type} {sink.topics.join(' ')}
        <div class="quiet">{sink.where}</div>
      </td>
    </tr>
  )
}

interface FactsProps {
  readonly overview: Overview
  readonly flow: Flow
  readonly run: string | undefined
}

function CollectorFacts({ overview: { collector, at }, flow, run }: FactsProps): JSX.Element {
  const { spool } = flow.collector
  return (
    <section class="card" aria-label="Collector" data-run={run}>
      <dl class="facts">
        <Fact name="version" value={collector.version} />
        <Fact name="up for" value={duration(Math.max(0, at - collector.startedAt))} />
        <Fact name="started" value={clock(collector.startedAt)} />
        <Fact name="CPU" value={cores(collector.cpuCores)} />
        <Fact name="memory" value={bytes(collector.rssBytes)} />
        <Fact name="received" value={rate(flow.collector.receivedPerSecond)} />
        <Fact name="spooled" value={rate(flow.collector.spooledPerSecond)} />
        <Fact name="spool" value={`${bytes(spool.bytes)} of ${bytes(spool.maxBytes)}`} look={spool.error === null ? '' : 'bad'} />
        <Fact name="not durable" value={count(flow.collector.notDurable)} look={flow.collector.notDurable > 0 ? 'bad' : ''} />
      </dl>
      {spool.error !== null && <p class="bad">{spool.error}</p>}
    </section>
  )
}
