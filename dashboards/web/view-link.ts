/** What is looked at, as it stands in the address: a link carries the whole view. */

export const viewNames = ['overview', 'live', 'metrics', 'flow', 'health'] as const
export type ViewName = (typeof viewNames)[number]

export interface ViewLink {
  readonly view: ViewName
  readonly settings: URLSearchParams
}

const tokenPrefix = '#token='

export function readLink(hash: string = location.hash): ViewLink {
  const [path = '', query = ''] = hash.replace(/^#\/?/, '').split('?', 2)
  const view = viewNames.find((name) => name === path) ?? 'overview'
  return { view, settings: new URLSearchParams(query) }
}

export function linkTo(view: ViewName, settings: URLSearchParams | Readonly<Record<string, string>> = {}): string {
  const query = new URLSearchParams(settings).toString()
  return `#/${view}${query === '' ? '' : `?${query}`}`
}

/** Changes settings of the view in the address without a step in the history; an empty value takes one away. */
export function changeSettings(changes: Readonly<Record<string, string | readonly string[]>>): void {
  const { view, settings } = readLink()
  for (const [name, value] of Object.entries(changes)) {
    settings.delete(name)
    for (const each of typeof value === 'string' ? [value] : value) if (each !== '') settings.append(name, each)
  }
  history.replaceState(null, '', linkTo(view, settings))
  window.dispatchEvent(new HashChangeEvent('hashchange'))
}

/** Takes a token out of the address, so that it stays in no history and in no copied link. */
export function takeToken(): string | undefined {
  if (!location.hash.startsWith(tokenPrefix)) return undefined
  const token = decodeURIComponent(location.hash.slice(tokenPrefix.length))
  history.replaceState(null, '', linkTo('overview'))
  return token
}
