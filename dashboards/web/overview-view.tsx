/** Every service, what is wrong first; and how to begin while there is none. */
import type { JSX } from 'preact'
import { levels, type ServiceOverview } from './api-types.ts'
import { bytes, cores, count, duration, rate, reasons } from './number-format.ts'
import type { Pulse } from './pulse.ts'
import { Legend, Sparkline } from './sparkline.tsx'
import { linkTo } from './view-link.ts'

export function OverviewView({ pulse }: { readonly pulse: Pulse }): JSX.Element {
  const { overview } = pulse
  if (overview === undefined) return <main aria-busy="true">Waiting for the collector…</main>
  return (
    <main>
      <h2>Services</h2>
      {overview.services.length === 0 ? (
        <FirstLine />
      ) : (
        <div class="cards">
          {overview.services.map((service) => (
            <ServiceCard key={service.service} service={service} />
          ))}
        </div>
      )}
    </main>
  )
}

function ServiceCard({ service: told }: { readonly service: ServiceOverview }): JSX.Element {
  const { service, origins, rates, history, lost, problems } = told
  const shown = levels.filter((level) => history.levels[level] !== undefined)
  const total = Object.values(rates).reduce((sum, each) => sum + each, 0)
  const gravity = problems.some(({ severity }) => severity === 'error') ? 'is-bad' : problems.length > 0 ? 'is-warn' : ''
  return (
    <section class={`card ${gravity}`} aria-label={service} data-service={service}>
      <header>
        <h3>
          <a href={linkTo('live', { service })}>{service}</a>
        </h3>
        <span class="number">{rate(total)}</span>
      </header>
      {problems.length > 0 && (
        <ul>
          {problems.map(({ severity, text }) => (
            <li key={text} class={severity === 'error' ? 'bad' : 'warn'}>
              {text}
            </li>
          ))}
        </ul>
      )}
      <Sparkline history={history} label={`${service}: ${rate(total)}, ${rate(told.errorsPerSecond)} of them errors`} />
      <Legend shown={shown} />
      <dl class="facts">
        <Fact name="errors" value={rate(told.errorsPerSecond)} look={told.errorsPerSecond > 0 ? 'bad' : ''} />
        <Fact name="lost" value={count(lost.total)} look={lost.total > 0 ? 'bad' : ''} title={reasons(lost.byReason)} />
        <Fact name="processes" value={processes(origins)} look={origins.lost + origins.unclean > 0 ? 'warn' : ''} />
        <Fact name="metrics" value={rate(told.pointsPerSecond)} />
        {told.eventLoopP99Ms !== null && <Fact name="event loop p99" value={duration(told.eventLoopP99Ms)} />}
        {told.cpuCores !== null && <Fact name="CPU" value={cores(told.cpuCores)} />}
        {told.rssBytes !== null && <Fact name="memory" value={bytes(told.rssBytes)} />}
      </dl>
    </section>
  )
}

function processes({ live, lost, unclean }: ServiceOverview['origins']): string {
  const gone = [lost > 0 && `${lost} silent`, unclean > 0 && `${unclean} unclean`].filter((part) => part !== false)
  return [`${live} live`, ...gone].join(', ')
}

interface FactProps {
  readonly name: string
  readonly value: string
  readonly look?: string
  readonly title?: string
}

export function Fact({ name, value, look = '', title = '' }: FactProps): JSX.Element {
  return (
    <div>
      <dt>{name}</dt>
      <dd class={look} title={title}>
        {value}
        {title !== '' && <span class="hidden"> ({title})</span>}
      </dd>
    </div>
  )
}

const example = `npm install spillway pino

import pino from 'pino'
import { destination } from 'spillway/pino'

const log = pino(destination({ service: 'checkout' }))
log.info('first light')`

function FirstLine(): JSX.Element {
  return (
    <div data-empty>
      <p>The collector runs, and nothing has come yet. Send the first line:</p>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a text that scrolls must be reachable by keyboard */}
      <pre tabIndex={0}>{example}</pre>
      <p class="quiet">
        On another machine, or another port, name the collector:{' '}
        <code>
          destination({'{'} service: 'checkout', collector: 'tcp://HOST:7701' {'}'})
        </code>
        . <code>spillway doctor</code> beside the application says what is in the way.
      </p>
    </div>
  )
}
