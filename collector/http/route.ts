/** What is answered under one path, and the table of all of them. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { apiQueryCharsMax, apiQueryValuesMax } from '../../wire/limits.ts'
import { ApiError } from './api-error.ts'

export interface Call {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly query: Query
}

export interface Route {
  readonly method: 'GET' | 'POST'
  readonly path: string
  /** Answered without a session where one is needed. */
  readonly isOpen?: boolean
  /** Shows what was logged: beyond loopback only to those who have a session, whatever else is allowed there. */
  readonly isDashboard?: boolean
  /** Whether somebody on another site may lead a browser here. */
  readonly isPage?: boolean
  /** May throw an {@link ApiError}, also after it has waited. */
  answer(call: Call): void | Promise<void>
}

/** Exact paths only. */
export class RouteTable {
  readonly #routes = new Map<string, Route[]>()

  constructor(routes: Iterable<Route>) {
    for (const route of routes) {
      const known = this.#routes.get(route.path)
      if (known === undefined) this.#routes.set(route.path, [route])
      else known.push(route)
    }
  }

  /** What is there for a path; empty for an unknown one. */
  at(path: string): readonly Route[] {
    return this.#routes.get(path) ?? []
  }

  get paths(): readonly string[] {
    return [...this.#routes.keys()]
  }
}

/** What stands behind the `?`: bounded, and read by names that are known. */
export class Query {
  readonly #values: URLSearchParams

  /** @throws {@link ApiError} when it is longer than anybody needs. */
  constructor(text: string) {
    if (text.length > apiQueryCharsMax) throw new ApiError('bad_request', `query: expected at most ${apiQueryCharsMax} characters`)
    this.#values = new URLSearchParams(text)
    if (this.#values.size > apiQueryValuesMax) throw new ApiError('bad_request', `query: expected at most ${apiQueryValuesMax} values`)
  }

  /** @throws {@link ApiError} for a name that means nothing here: a mistyped filter would let everything through. */
  allow(...names: readonly string[]): void {
    for (const name of this.#values.keys()) {
      if (names.includes(name)) continue
      throw new ApiError(
        'bad_request',
        `${JSON.stringify(name.slice(0, 80))} means nothing here; there are ${names.join(', ') || 'no parameters'}`,
      )
    }
  }

  all(name: string): readonly string[] {
    return this.#values.getAll(name)
  }

  /** @throws {@link ApiError} when it stands there twice. */
  one(name: string): string | undefined {
    const values = this.#values.getAll(name)
    if (values.length > 1) throw new ApiError('bad_request', `${name}: expected one value, got ${values.length}`)
    return values[0]
  }

  /** @throws {@link ApiError} unless it is missing or a whole number in the bounds. */
  integer(name: string, { min, max }: { readonly min: number; readonly max: number }): number | undefined {
    const text = this.one(name)
    if (text === undefined) return undefined
    const value = /^-?\d{1,16}$/.test(text) ? Number(text) : Number.NaN
    if (value >= min && value <= max) return value
    throw new ApiError('bad_request', `${name}: expected a whole number from ${min} to ${max}, got ${JSON.stringify(text.slice(0, 80))}`)
  }
}
