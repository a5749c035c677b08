/** Asking the collector. Every failure is an {@link ApiFailure} with words for a person. */

export class ApiFailure extends Error {
  readonly status: number
  /** Where in an expression, from 1; undefined for anything else. */
  readonly column: number | undefined

  constructor(status: number, message: string, column?: number) {
    super(message)
    this.status = status
    this.column = column
  }
}

const unreachable = 'the collector does not answer'

export async function getJson<T>(path: string, signal?: AbortSignal): Promise<T> {
  const answer = await ask(path, signal === undefined ? {} : { signal })
  return (await answer.json()) as T
}

/** Lines of newline-delimited JSON, at most as long as the collector makes an answer. */
export async function getLines<T>(path: string, signal?: AbortSignal): Promise<T[]> {
  const answer = await ask(path, signal === undefined ? {} : { signal })
  const text = await answer.text()
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as T)
}

/** Exchanges a token for a session cookie. */
export async function openSession(token: string): Promise<void> {
  await ask('/api/v1/session', { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ token }) })
}

/** Why an event stream was refused; undefined when it would be accepted now. */
export async function whyRefused(path: string): Promise<ApiFailure | undefined> {
  const abort = new AbortController()
  try {
    await ask(path, { signal: abort.signal, headers: { accept: 'text/event-stream' } })
    return undefined
  } catch (error) {
    return error instanceof ApiFailure ? error : new ApiFailure(0, unreachable)
  } finally {
    abort.abort()
  }
}

async function ask(path: string, init: RequestInit): Promise<Response> {
  let answer: Response
  try {
    answer = await fetch(path, { ...init, credentials: 'same-origin', cache: 'no-store' })
  } catch (error) {
    if (init.signal?.aborted === true) throw error
    throw new ApiFailure(0, unreachable)
  }
  if (answer.ok) return answer
  const { error } = (await answer.json().catch(() => ({}))) as { error?: { message?: string; column?: number } }
  throw new ApiFailure(answer.status, error?.message ?? `the collector answers ${answer.status}`, error?.column)
}
