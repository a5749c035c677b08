/** What each command's flags become; `main.ts` reads them, the commands use them. */

export interface CollectorFlags {
  readonly config?: string
  readonly dir?: string
  readonly listen?: string
  readonly http?: string
  readonly subscribe?: readonly string[]
  readonly insecure?: boolean
}

export interface TailFlags {
  readonly connect?: string
  readonly level?: string
  readonly service?: string
  readonly metrics?: boolean
  readonly where?: string
  readonly grep?: readonly string[]
  readonly exclude?: readonly string[]
  readonly highlight?: readonly string[]
  readonly fields?: string
  readonly template?: string
  readonly json?: boolean
  readonly logfmt?: boolean
  readonly pretty?: boolean
  readonly time?: string
  /** False for `--no-color`. */
  readonly color: boolean
  readonly wrap?: boolean
  readonly truncate?: boolean
  readonly exitStatus?: boolean
  readonly limit?: number
  /** Milliseconds. */
  readonly for?: number
  readonly since?: string
  readonly last?: number
  readonly http?: string
}

export interface DoctorFlags {
  readonly connect?: string
  /** Milliseconds. */
  readonly timeout?: number
}

export interface StatusFlags {
  readonly http?: string
  readonly json?: boolean
  /** A duration or an ISO time, as it was typed: what it means depends on the collector's clock. */
  readonly since?: string
}

export interface QueryFlags {
  readonly config?: string
  readonly dir?: string
  /** Durations or ISO times, as they were typed. */
  readonly since?: string
  readonly until?: string
  readonly level?: string
  readonly service?: readonly string[]
  readonly where?: readonly string[]
  readonly grep?: readonly string[]
  readonly fields?: string
  readonly json?: boolean
  readonly pretty?: boolean
  readonly csv?: boolean
  readonly limit?: number
  readonly count?: boolean
  readonly stats?: string
  readonly by?: string
  /** A duration, as it was typed. */
  readonly every?: string
  readonly follow?: boolean
  readonly sql?: string
}

export interface ValidateFlags {
  readonly connect?: boolean
}

export interface TopFlags {
  readonly http?: string
  /** Milliseconds. */
  readonly every?: number
  readonly sort?: string
  readonly filter?: string
  readonly once?: boolean
  readonly json?: boolean
  /** False for `--no-color`. */
  readonly color: boolean
}
