/** A request that is not answered as it was meant: its status, and why, as JSON. */

/** Short names for programs; words may change, these do not. docs/DASHBOARDS.md lists them. */
export type ApiErrorCode =
  | 'bad_request'
  | 'bad_expression'
  | 'unauthorised'
  | 'forbidden'
  | 'not_found'
  | 'method_not_allowed'
  | 'too_large'
  | 'too_many'
  | 'failed'

const statuses: Readonly<Record<ApiErrorCode, number>> = {
  bad_request: 400,
  bad_expression: 400,
  unauthorised: 401,
  forbidden: 403,
  not_found: 404,
  method_not_allowed: 405,
  too_large: 413,
  too_many: 503,
  failed: 500,
}

export class ApiError extends Error {
  readonly code: ApiErrorCode
  /** Of what was wrong, from 1; only of an expression. */
  readonly column: number | undefined

  constructor(code: ApiErrorCode, message: string, column?: number) {
    super(message)
    this.name = 'ApiError'
    this.code = code
    this.column = column
  }

  get status(): number {
    return statuses[this.code]
  }

  get body(): string {
    const { code, message, column } = this
    return `${JSON.stringify({ error: { code, message, ...(column === undefined ? {} : { column }) } })}\n`
  }
}
