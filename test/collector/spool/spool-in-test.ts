/** A spool that is filled with numbered records, as the intake would. */
import { type FileHandle, open } from 'node:fs/promises'
import { Spool } from '../../../collector/spool/spool.ts'
import { recordTypes, type SpoolRecord } from '../../../collector/spool/spool-record.ts'
import { spoolBytesMaxMin } from '../../../wire/limits.ts'

export interface SpoolInTest extends AsyncDisposable {
  readonly spool: Spool
  readonly troubles: string[]
  /** Positions from which records were given up, in order. */
  readonly abandoned: number[]
  /** Appends a record, in a new segment if one is due; undefined when it cannot be kept. */
  append(text: string | Buffer): { readonly position: number; readonly end: number } | undefined
}

export async function openSpool(dir: string, bytesMax: number = spoolBytesMaxMin): Promise<SpoolInTest> {
  const troubles: string[] = []
  const abandoned: number[] = []
  const spool = await Spool.open({ dir, bytesMax, onTrouble: (message) => troubles.push(message) })
  spool.events = { written() {}, abandoned: (position) => abandoned.push(position) }
  return {
    spool,
    troubles,
    abandoned,
    append(text) {
      if (spool.needsRoll(performance.now())) spool.roll(Buffer.from('books'))
      return spool.append(recordTypes.loss, Buffer.from('x'), Buffer.from(text))
    },
    [Symbol.asyncDispose]: () => spool.close(),
  }
}

/** Everything there is to read from `position` on. */
export async function readAll(spool: Spool, position: number = spool.oldest): Promise<SpoolRecord[]> {
  const found: SpoolRecord[] = []
  for (let at = position; at < spool.written; ) {
    const { records, next } = await spool.read(at)
    found.push(...records.filter((record) => record.position >= at))
    if (next <= at) throw new Error(`reading at ${at} does not go on`)
    at = next
  }
  return found
}

/** The texts that were appended, without the books. */
export function textsOf(records: readonly SpoolRecord[]): string[] {
  return records.filter(({ type }) => type === recordTypes.loss).map(({ body }) => body.toString('utf8', 1))
}

/** What every open file of Node's has in common, to let its calls fail. */
export async function fileHandlePrototype(): Promise<FileHandle> {
  const handle = await open('/dev/null')
  try {
    return Object.getPrototypeOf(handle) as FileHandle
  } finally {
    await handle.close()
  }
}
