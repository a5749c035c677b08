/** The frame around the views: where one is, whether the collector is there, keys that work everywhere. */
import type { JSX } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import { openSession } from './collector-api.ts'
import { FlowView } from './flow-view.tsx'
import { HealthView } from './health-view.tsx'
import { LiveView } from './live-view.tsx'
import { MetricsView } from './metrics-view.tsx'
import { clock } from './number-format.ts'
import { OverviewView } from './overview-view.tsx'
import { type Pulse, usePulse } from './pulse.ts'
import { applyTheme, chosenTheme, themes } from './theme.ts'
import { linkTo, readLink, type ViewLink, type ViewName, viewNames } from './view-link.ts'

const titles: Readonly<Record<ViewName, string>> = {
  overview: 'Overview',
  live: 'Live',
  metrics: 'Metrics',
  flow: 'Flow',
  health: 'Sinks and health',
}

export function Page(): JSX.Element {
  const link = useLink()
  const [session, setSession] = useState(0)
  const pulse = usePulse(session)
  const help = useRef<HTMLDialogElement>(null)
  usePageKeys(() => help.current?.showModal())
  const needsToken = pulse.why?.status === 401
  useEffect(() => {
    document.title = `${titles[link.view]} · Spillway`
  }, [link.view])
  return (
    <>
      <header class="top">
        <h1>Spillway</h1>
        <nav aria-label="Views">
          {viewNames.map((name, i) => (
            <a key={name} href={linkTo(name)} aria-current={name === link.view ? 'page' : undefined} title={`key ${i + 1}`}>
              {titles[name]}
            </a>
          ))}
        </nav>
        <div class="state">
          <LinkState pulse={pulse} />
          <ThemeButton />
          <button type="button" aria-label="Help: keys" onClick={() => help.current?.showModal()}>
            ?
          </button>
        </div>
      </header>
      {pulse.state === 'lost' && !needsToken && (
        <div class="lost-notice" role="alert">
          The collector is lost{pulse.heardAt === undefined ? '' : ` since ${clock(pulse.heardAt)}`}:{' '}
          {pulse.why?.message ?? 'no word for 5 s'}. What stands here is old; this page comes back by itself.
        </div>
      )}
      {needsToken ? <SignIn done={() => setSession(session + 1)} /> : <View link={link} pulse={pulse} />}
      <dialog ref={help} aria-label="Keys">
        <h2>Keys</h2>
        <ul>
          <li>
            <kbd>1</kbd> to <kbd>5</kbd> overview, live, metrics, flow, sinks and health
          </li>
          <li>
            in Live: <kbd>space</kbd> pauses, <kbd>/</kbd> goes to the filter, <kbd>↑</kbd> <kbd>↓</kbd> choose a record, <kbd>Enter</kbd>{' '}
            opens it, <kbd>Esc</kbd> closes it, <kbd>End</kbd> goes on with the newest
          </li>
          <li>
            on the time histogram: <kbd>←</kbd> <kbd>→</kbd> move what is chosen, with <kbd>Shift</kbd> widen it, <kbd>Esc</kbd> shows all
          </li>
          <li>
            <kbd>t</kbd> light or dark, <kbd>?</kbd> this help
          </li>
        </ul>
        <form method="dialog">
          <button type="submit">Close</button>
        </form>
      </dialog>
    </>
  )
}

function View({ link, pulse }: { readonly link: ViewLink; readonly pulse: Pulse }): JSX.Element {
  switch (link.view) {
    case 'overview':
      return <OverviewView pulse={pulse} />
    case 'live':
      return <LiveView settings={link.settings} services={pulse.overview?.services.map(({ service }) => service) ?? []} />
    case 'metrics':
      return <MetricsView settings={link.settings} />
    case 'flow':
      return <FlowView pulse={pulse} settings={link.settings} />
    case 'health':
      return <HealthView pulse={pulse} />
  }
}

function useLink(): ViewLink {
  const [link, setLink] = useState(readLink)
  useEffect(() => {
    const read = () => setLink(readLink())
    window.addEventListener('hashchange', read)
    return () => window.removeEventListener('hashchange', read)
  }, [])
  return link
}

/** Whether a key is meant for what has the focus. */
function isTyped({ target, ctrlKey, altKey, metaKey }: KeyboardEvent): boolean {
  return ctrlKey || altKey || metaKey || (target instanceof HTMLElement && target.matches('input, textarea, select, dialog *'))
}

function usePageKeys(help: () => void): void {
  // Set once: help only touches a reference.
  useEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      if (isTyped(event)) return
      const view = viewNames[Number(event.key) - 1]
      if (view !== undefined) location.hash = linkTo(view)
      else if (event.key === 't') nextTheme()
      else if (event.key === '?') help()
    }
    window.addEventListener('keydown', pressed)
    return () => window.removeEventListener('keydown', pressed)
  }, [])
}

function LinkState({ pulse }: { readonly pulse: Pulse }): JSX.Element {
  const words = { connecting: 'connecting…', open: 'connected', lost: 'collector lost' }[pulse.state]
  const look = { connecting: 'quiet', open: 'good', lost: 'bad' }[pulse.state]
  return (
    <span class={look} data-state={pulse.state}>
      {pulse.state === 'lost' ? '✕' : '●'} {words}
    </span>
  )
}

const themeChanged = 'spillway-theme'

function nextTheme(): void {
  const next = themes[(themes.indexOf(chosenTheme()) + 1) % themes.length] ?? 'system'
  applyTheme(next)
  window.dispatchEvent(new Event(themeChanged))
}

function ThemeButton(): JSX.Element {
  const [theme, setTheme] = useState(chosenTheme)
  useEffect(() => {
    const read = () => setTheme(chosenTheme())
    window.addEventListener(themeChanged, read)
    return () => window.removeEventListener(themeChanged, read)
  }, [])
  return (
    <button type="button" onClick={nextTheme} aria-label={`Colours: ${theme}`} title="key t">
      {{ system: '◐', light: '○', dark: '●' }[theme]}
    </button>
  )
}

function SignIn({ done }: { readonly done: () => void }): JSX.Element {
  const [refused, setRefused] = useState('')
  const signIn = async (event: SubmitEvent) => {
    event.preventDefault()
    const token = new FormData(event.currentTarget as HTMLFormElement).get('token')
    try {
      await openSession(String(token))
      done()
    } catch (error) {
      setRefused(error instanceof Error ? error.message : String(error))
    }
  }
  return (
    <main>
      <h2>This collector asks for a token</h2>
      <p>It is the one in its configuration under auth. A link that ends in #token=… brings it along.</p>
      <form class="filters" onSubmit={(event) => void signIn(event)}>
        <label>
          Token
          <input name="token" type="password" autocomplete="current-password" required />
        </label>
        <button type="submit">Sign in</button>
      </form>
      {refused !== '' && (
        <p class="bad" role="alert">
          {refused}
        </p>
      )}
    </main>
  )
}
