/** `POST /api/v1/session`: a token is exchanged for a cookie. The only request that changes anything, and only in the browser. */
import type { IncomingMessage } from 'node:http'
import { sessionBodyBytesMax } from '../../wire/limits.ts'
import { safetyHeaders } from './answer.ts'
import { ApiError } from './api-error.ts'
import { apiPrefix } from './api-prefix.ts'
import type { Route } from './route.ts'
import type { Sessions } from './sessions.ts'

/** @param sessions - Undefined where none are needed: there is nothing to exchange then. */
export function sessionRoute(sessions: Sessions | undefined): Route {
  return {
    method: 'POST',
    path: `${apiPrefix}/session`,
    isOpen: true,
    async answer({ request, response, query }) {
      query.allow()
      if (sessions === undefined) throw new ApiError('not_found', 'no session is needed here: no auth is configured')
      // A form of another site could send other types without asking.
      if (!/^application\/json\b/.test(request.headers['content-type'] ?? ''))
        throw new ApiError('bad_request', 'expected the header "content-type: application/json"')
      if (!sessions.isToken(tokenIn(await bodyOf(request)))) throw new ApiError('unauthorised', 'this is not the token')
      response.writeHead(204, { ...safetyHeaders, 'cache-control': 'no-store', 'set-cookie': sessions.cookie() })
      response.end()
    },
  }
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = []
  let bytes = 0
  for await (const part of request) {
    bytes += (part as Buffer).length
    if (bytes > sessionBodyBytesMax) throw new ApiError('too_large', `expected at most ${sessionBodyBytesMax} bytes`)
    parts.push(part as Buffer)
  }
  return Buffer.concat(parts).toString('utf8')
}

function tokenIn(body: string): string {
  let parsed: unknown
  try {
    parsed = JSON.parse(body)
  } catch {
    throw new ApiError('bad_request', 'expected {"token": "…"}')
  }
  const token = parsed !== null && typeof parsed === 'object' && 'token' in parsed ? parsed.token : undefined
  if (typeof token !== 'string') throw new ApiError('bad_request', 'expected {"token": "…"}')
  return token
}
