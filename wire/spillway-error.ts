/** Every code an error of Spillway can carry. Words may change, codes do not; each has an entry in docs/ERRORS.md. */
export type SpillwayErrorCode =
  | 'SPW_OPTION_INVALID'
  | 'SPW_TOPIC_INVALID'
  | 'SPW_PATTERN_INVALID'
  | 'SPW_EXPRESSION_INVALID'
  | 'SPW_FRAME_INVALID'
  | 'SPW_CONFIG_INVALID'
  | 'SPW_BIND_REFUSED'
  | 'SPW_ENDPOINT_IN_USE'
  | 'SPW_DIR_LOCKED'
  | 'SPW_DIR_UNUSABLE'
  | 'SPW_STATUS_UNAVAILABLE'
  | 'SPW_METRIC_INVALID'
  | 'SPW_METRIC_CONFLICT'
  | 'SPW_CLOSED'

const errorCodes: Readonly<Record<SpillwayErrorCode, { readonly retryable: boolean }>> = {
  SPW_OPTION_INVALID: { retryable: false },
  SPW_TOPIC_INVALID: { retryable: false },
  SPW_PATTERN_INVALID: { retryable: false },
  SPW_EXPRESSION_INVALID: { retryable: false },
  SPW_FRAME_INVALID: { retryable: false },
  SPW_CONFIG_INVALID: { retryable: false },
  SPW_BIND_REFUSED: { retryable: false },
  SPW_ENDPOINT_IN_USE: { retryable: true },
  SPW_DIR_LOCKED: { retryable: true },
  SPW_DIR_UNUSABLE: { retryable: true },
  SPW_STATUS_UNAVAILABLE: { retryable: true },
  SPW_METRIC_INVALID: { retryable: false },
  SPW_METRIC_CONFLICT: { retryable: false },
  SPW_CLOSED: { retryable: false },
}

/** The one error class. Match on `code`. */
export class SpillwayError extends Error {
  readonly code: SpillwayErrorCode
  /** Whether the same call may succeed later without a change. */
  readonly retryable: boolean

  constructor(code: SpillwayErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'SpillwayError'
    this.code = code
    this.retryable = errorCodes[code].retryable
  }
}
