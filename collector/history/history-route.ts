/** `GET /api/v1/records`: what is in the files, streamed as newline-delimited JSON. */
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { historyReadersMax } from '../../wire/limits.ts'
import { safetyHeaders } from '../http/answer.ts'
import { ApiError } from '../http/api-error.ts'
import type { Call, Route } from '../http/route.ts'
import { historyParameters, readHistoryQuestion } from './history-question.ts'
import type { HistoryPiece } from './history-worker.ts'

export interface HistoryPorts {
  /** Where lines are kept; undefined when no sink keeps them in files. */
  readonly template: string | undefined
  /** Waits, not for long, until the files hold what has been received so far. */
  written(): Promise<void>
  /** Waits, not for long, until a tail of this name has its subscriptions here. */
  tailIsHere(name: string): Promise<boolean>
}

const tailNameCharsMax = 200
const workerUrl = new URL('./history-worker.js', import.meta.url)

export function historyRoutes(ports: HistoryPorts): Route[] {
  let readers = 0
  const answer = async (call: Call): Promise<void> => {
    call.query.allow(...historyParameters)
    if (ports.template === undefined) throw new ApiError('not_found', 'no sink of this collector keeps lines in files')
    const question = readHistoryQuestion(call.query, ports.template, Date.now())
    const tail = call.query.one('tail')
    if (readers >= historyReadersMax) throw new ApiError('too_many', `${readers} others read the files; ask again when one is done`)
    readers += 1
    try {
      if (tail !== undefined && (tail.length > tailNameCharsMax || !(await ports.tailIsHere(tail))))
        throw new ApiError('bad_request', 'tail: expected the name of a tail that is connected to this collector')
      await ports.written()
      await stream(call, new Worker(workerUrl, { workerData: question, execArgv: [], argv: [], stdin: false }))
    } finally {
      readers -= 1
    }
  }
  return [{ method: 'GET', path: '/api/v1/records', isDashboard: true, answer }]
}

/** Ends with the answer, or with whoever asked: a client that leaves stops the reading. */
async function stream({ response }: Call, worker: Worker): Promise<void> {
  const ended = new Promise<string | undefined>((resolve) => {
    worker.on('message', (piece: HistoryPiece) => {
      if ('isLast' in piece) return resolve(piece.error)
      if (!response.headersSent)
        response.writeHead(200, { ...safetyHeaders, 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' })
      const isTaken = response.write(piece.text)
      const next = () => worker.postMessage('more')
      if (isTaken) next()
      else response.once('drain', next)
    })
    worker.once('error', (error) => resolve(error instanceof Error ? error.message : String(error)))
    worker.once('exit', () => resolve('the reading ended'))
    response.once('close', () => resolve('nobody reads it'))
  })
  const error = await ended
  if (response.destroyed || error !== undefined) {
    await worker.terminate()
    // Broken off, what has begun shows as incomplete.
    if (response.headersSent) response.destroy()
    else if (!response.destroyed) throw new ApiError('failed', `the files could not be read: ${error}`)
    return
  }
  response.end()
  await once(response, 'close')
}
