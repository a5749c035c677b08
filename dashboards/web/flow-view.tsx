/** Applications, collector, sinks: what flows, waits and is lost between them. Each arrow opens its books. */
import type { JSX } from 'preact'
import type { AppFlow, Books, Flow, SinkFlow } from './api-types.ts'
import { bytes, count, duration, rate, reasons } from './number-format.ts'
import type { Pulse } from './pulse.ts'
import { changeSettings } from './view-link.ts'

interface ViewProps {
  readonly pulse: Pulse
  readonly settings: URLSearchParams
}

export function FlowView({ pulse: { flow }, settings }: ViewProps): JSX.Element {
  if (flow === undefined) return <main aria-busy="true">Waiting for the collector…</main>
  const open = settings.get('open') ?? ''
  const { collector, books } = flow
  return (
    <main>
      <h2>Flow</h2>
      <div class="flow">
        <div class="flow-column">
          {flow.apps.length === 0 && <div class="flow-box quiet">no application yet</div>}
          {flow.apps.map((app) => (
            <div class="flow-box" key={app.service} data-app={app.service}>
              <strong>{app.service}</strong>
              <div class="quiet">{app.origins === 1 ? '1 process' : `${count(app.origins)} processes`}</div>
            </div>
          ))}
        </div>
        <div class="flow-column">
          {flow.apps.map((app) => (
            <Arrow key={app.service} id={`app:${app.service}`} open={open} {...appArrow(app)} />
          ))}
        </div>
        <div class="flow-column">
          <div class="flow-box">
            <strong>collector</strong>
            <div>{rate(collector.receivedPerSecond)} received</div>
            <div>{rate(collector.spooledPerSecond)} spooled</div>
            <div class="quiet">spool {bytes(collector.spool.bytes)}</div>
            {collector.spool.error !== null && <div class="bad">{collector.spool.error}</div>}
          </div>
        </div>
        <div class="flow-column">
          {flow.sinks.map((sink) => (
            <Arrow key={sink.name} id={`sink:${sink.name}`} open={open} {...sinkArrow(sink)} />
          ))}
        </div>
        <div class="flow-column">
          {flow.sinks.map((sink) => (
            <div class="flow-box" key={sink.name}>
              <strong>{sink.name}</strong> <span class="quiet">{sink.type}</span>
              <div class={sink.state === 'ok' ? 'good' : 'bad'}>{sink.state}</div>
            </div>
          ))}
        </div>
      </div>
      <BooksOf open={open} flow={flow} />
      <h3>All of it</h3>
      <TotalBooks books={books} />
    </main>
  )
}

interface ArrowProps {
  readonly label: string
  readonly perSecond: number
  readonly trouble: string
}

function appArrow({ service, ratePerSecond, bytesPerSecond, inFlight, lost }: AppFlow): ArrowProps {
  const told = reasons(lost)
  const waiting = inFlight > 0 ? `, ${count(inFlight)} in flight` : ''
  return {
    label: `${service} to collector: ${rate(ratePerSecond)}, ${bytes(bytesPerSecond)}/s${waiting}`,
    perSecond: ratePerSecond,
    trouble: told === '' ? '' : `lost: ${told}`,
  }
}

function sinkArrow({ name, ratePerSecond, lagRecords, lagMs, rejected, expired, lastError }: SinkFlow): ArrowProps {
  const given = [rejected > 0 && `${count(rejected)} rejected`, expired > 0 && `${count(expired)} expired`, lastError]
  const waiting = lagRecords > 0 ? `, ${count(lagRecords)} waiting, ${duration(lagMs)} behind` : ''
  return {
    label: `collector to ${name}: ${rate(ratePerSecond)}${waiting}`,
    perSecond: ratePerSecond,
    trouble: given.filter((part) => part !== false && part !== null).join(', '),
  }
}

function Arrow({ id, open, label, perSecond, trouble }: ArrowProps & { readonly id: string; readonly open: string }): JSX.Element {
  const isOpen = id === open
  const [, said = ''] = label.split(': ')
  // A hundred times the rate is two steps thicker.
  const width = perSecond <= 0 ? 1 : Math.min(6, 1.5 + Math.log10(1 + perSecond))
  return (
    <button
      type="button"
      class={`flow-arrow ${trouble === '' ? '' : 'is-bad'}`}
      aria-expanded={isOpen}
      aria-label={`${label}${trouble === '' ? '' : `; ${trouble}`}; books`}
      onClick={() => changeSettings({ open: isOpen ? '' : id })}
    >
      {said}
      <svg viewBox="0 0 120 14" preserveAspectRatio="none" aria-hidden="true">
        <path d="M2 7H116M108 2L117 7L108 12" stroke-width={width.toFixed(1)} />
      </svg>
      {trouble !== '' && <span class="bad">{trouble}</span>}
    </button>
  )
}

function BooksOf({ open, flow }: { readonly open: string; readonly flow: Flow }): JSX.Element | null {
  const app = flow.apps.find(({ service }) => open === `app:${service}`)
  if (app !== undefined) {
    const lost = Object.entries(app.lost).map(([reason, records]) => [`lost: ${reason}`, records] as const)
    return <BookTable title={`${app.service} → collector`} rows={[['in flight: accepted, not stored yet', app.inFlight], ...lost]} />
  }
  const sink = flow.sinks.find(({ name }) => open === `sink:${name}`)
  if (sink === undefined) return null
  const { name, written, lagRecords, rejected, expired } = sink
  return (
    <BookTable
      title={`collector → ${name}`}
      rows={[
        ['written', written],
        ['waiting in the spool', lagRecords],
        ['rejected by the sink', rejected],
        ['expired before it took them', expired],
      ]}
    />
  )
}

function TotalBooks({ books }: { readonly books: Books }): JSX.Element {
  return (
    <BookTable
      title="accepted = stored + lost + rejected + expired + in flight; received = stored + pending + rejected + expired"
      rows={[
        ['accepted by the agents', books.accepted],
        ['received', books.received],
        ['lost', books.lost],
        ['in flight', books.inFlight],
        ['spooled', books.spooled],
        ['not durable', books.notDurable],
        ['stored', books.stored],
        ['pending', books.pending],
        ['rejected', books.rejected],
        ['expired', books.expired],
      ]}
    />
  )
}

interface TableProps {
  readonly title: string
  readonly rows: readonly (readonly [string, number])[]
}

function BookTable({ title, rows }: TableProps): JSX.Element {
  return (
    <table class="card" data-books={title}>
      <caption class="quiet">{title}</caption>
      <tbody>
        {rows.map(([name, records]) => (
          <tr key={name}>
            <th scope="row">{name}</th>
            <td class="number">{count(records)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  )
}
