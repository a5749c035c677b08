/**
 * Whether a request comes from where it may. Pure.
 *
 * A browser sends requests here for any page on the web. Three things give such a page away: a name of its own that was
 * made to lead to this address (`Host`), its origin (`Origin`), and what the browser says of the two (`Sec-Fetch-Site`).
 */
import type { IncomingHttpHeaders } from 'node:http'
import { isIP } from 'node:net'
import { isLoopbackHost } from '../../wire/endpoint.ts'

export interface GuardOptions {
  /** The address that is listened on. */
  readonly host: string
  /** Names under which it may be asked, beside those of loopback; lower case, without ports. */
  readonly names: readonly string[]
}

/** @returns Why not, in one sentence, or undefined when the request may be answered. */
export function refusal(headers: IncomingHttpHeaders, options: GuardOptions, { isPage }: { readonly isPage: boolean }): string | undefined {
  const { host = '', origin } = headers
  if (!isForUs(host, options))
    return 'this server answers requests to its own address only; other names of it belong to http.names in its configuration'
  if (origin !== undefined && originHost(origin) !== host.toLowerCase()) return 'this server answers no pages of other origins'
  const site = headers['sec-fetch-site']
  if (site === undefined || site === 'same-origin' || site === 'none') return undefined
  // A link may lead here from anywhere; what it leads to shows nothing until the page asks for it itself.
  const isNavigation = headers['sec-fetch-mode'] === 'navigate' && headers['sec-fetch-dest'] === 'document'
  return isPage && isNavigation ? undefined : 'this server answers no requests made by pages of other sites'
}

/**
 * A name other than those that were configured may be anybody's, made to lead here. An address is nobody's name: beyond
 * loopback, where there may be several of them and others than the machine knows, any is taken.
 */
function isForUs(host: string, { host: bound, names }: GuardOptions): boolean {
  const name = host.replace(/:\d+$/, '').toLowerCase()
  if (isLoopbackHost(name) || names.includes(name)) return true
  return !isLoopbackHost(bound) && isIP(name.replace(/^\[|\]$/g, '')) !== 0
}

function originHost(origin: string): string | undefined {
  return /^https?:\/\/([^/]+)$/.exec(origin.toLowerCase())?.[1]
}
