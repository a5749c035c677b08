/** Compresses files in a thread of its own, at low priority where a thread can have one. */
import { constants, setPriority } from 'node:os'
import { parentPort } from 'node:worker_threads'
import { type Compression, compressFile } from './compress-file.ts'

export interface CompressJob {
  readonly source: string
  readonly target: string
  readonly compression: Compression
}

/** Undefined when it is done. */
export type CompressAnswer = { readonly error: string | undefined }

// On Linux this is about the calling thread; elsewhere it would be about the whole process.
if (process.platform === 'linux') setPriority(0, constants.priority.PRIORITY_LOW)

parentPort?.on('message', ({ source, target, compression }: CompressJob) => {
  let error: string | undefined
  try {
    compressFile(source, target, compression)
  } catch (cause) {
    error = cause instanceof Error ? cause.message : String(cause)
  }
  parentPort?.postMessage({ error } satisfies CompressAnswer)
})
