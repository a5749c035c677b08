/**
 * Who may ask: whoever has the token, or a cookie that was given for it. The cookie holds its end and a signature made with
 * the token: nothing is kept here, so it outlives a restart, and another token ends all of them.
 */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import { authTokenChars, sessionMs } from '../../wire/limits.ts'

export interface SessionsOptions {
  readonly token: string
  /** Tells several collectors of one host apart: browsers send cookies to every port. */
  readonly port: () => number
  /** Unix ms. */
  readonly timeMs: () => number
}

export class Sessions {
  readonly #options: SessionsOptions
  readonly #tokenHash: Buffer

  constructor(options: SessionsOptions) {
    this.#options = options
    this.#tokenHash = hashOf(options.token)
  }

  /** Whether a token is the right one; takes as long for a wrong one, however much of it is right. */
  isToken(token: string): boolean {
    return token.length <= authTokenChars.max && timingSafeEqual(hashOf(token), this.#tokenHash)
  }

  /** Whether a request carries the token, as `authorization: Bearer`, or a cookie that holds. */
  isKnown({ authorization, cookie }: Pick<IncomingHttpHeaders, 'authorization' | 'cookie'>): boolean {
    const bearer = /^Bearer ([^\s,]+)$/i.exec(authorization ?? '')?.[1]
    if (bearer !== undefined) return this.isToken(bearer)
    const name = this.#cookieName
    return (cookie ?? '').split(';').some((part) => {
      const text = part.trim()
      return text.startsWith(`${name}=`) && this.#holds(text.slice(name.length + 1))
    })
  }

  /** A cookie no script can read and no other site can have sent. */
  cookie(): string {
    const untilMs = this.#options.timeMs() + sessionMs
    return `${this.#cookieName}=${untilMs}.${this.#signature(untilMs)}; Path=/; Max-Age=${sessionMs / 1_000}; HttpOnly; SameSite=Strict`
  }

  get #cookieName(): string {
    return `spillway-${this.#options.port()}`
  }

  #holds(value: string): boolean {
    const [, until, signature] = /^(\d{13,15})\.([A-Za-z0-9_-]{43})$/.exec(value) ?? []
    if (until === undefined || signature === undefined) return false
    const isSigned = timingSafeEqual(Buffer.from(signature), Buffer.from(this.#signature(Number(until))))
    return isSigned && Number(until) > this.#options.timeMs()
  }

  #signature(untilMs: number): string {
    return createHmac('sha256', this.#options.token).update(`spillway session ${untilMs}`).digest('base64url')
  }
}

function hashOf(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
