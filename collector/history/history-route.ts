/** `GET /api/v1/records`: what is in the files, streamed as newline-delimited JSON. */
import { finished } from 'node:stream/promises'
import { Worker } from 'node:worker_threads'
import { historyReadersMax } from '../../wire/limits.ts'
import { safetyHeaders } from '../http/answer.ts'
import { ApiError } from '../http/api-error.ts'
import type { Call, Route } from '../http/route.ts'
import { historyParameters, readHistoryQuestion } from './history-question.ts'
import type { HistoryAnswer, HistoryPiece } from './history-worker.ts'

export interface HistoryPorts {
  /** Where lines are kept; undefined when no sink keeps them in files. */
  readonly template: string | undefined
  /** Waits, not for long, until the files hold what has been received so far; false when they still do not. */
  written(): Promise<boolean>
  /** No file is compressed until this is undone: one that comes and goes in between would be overlooked. */
  holdFiles(): () => void
  /** Waits, not for long, until a tail of this name has its subscriptions here. */
  tailIsHere(name: string): Promise<boolean>
}

const tailShape = /^[A-Za-z0-9_~-]{1,160}$/
const workerUrl = new URL('./history-worker.js', import.meta.url)

export function historyRoutes(ports: HistoryPorts): Route[] {
  let readers = 0
  const answer = async (call: Call): Promise<void> => {
    call.query.allow(...historyParameters)
    if (ports.template === undefined) throw new ApiError('not_found', 'no sink of this collector keeps lines in files')
    const question = readHistoryQuestion(call.query, ports.template, Date.now())
    const tail = call.query.one('tail')
    if (readers >= historyReadersMax) throw new ApiError('too_many', `${readers} others read the files; ask again when one is done`)
    if (tail !== undefined && !tailShape.test(tail)) throw new ApiError('bad_request', 'tail: expected the name of a tail')
    readers += 1
    const release = tail === undefined ? undefined : ports.holdFiles()
    try {
      // What a tail goes on from is written when it has subscribed: see readHistory.
      const written = async (): Promise<HistoryAnswer | undefined> => {
        if (tail !== undefined && !(await ports.tailIsHere(tail))) return undefined
        return (await ports.written()) ? 'written' : 'behind'
      }
      await stream(call, written, new Worker(workerUrl, { workerData: question, execArgv: [], argv: [], stdin: false }))
    } finally {
      release?.()
      readers -= 1
    }
  }
  return [{ method: 'GET', path: '/api/v1/records', isDashboard: true, answer }]
}

/**
 * Ends with the answer, or with whoever asked: a client that leaves stops the reading.
 *
 * @param written - Waits until the files hold what is to be in the answer; undefined when nobody waits for it any more.
 */
async function stream({ response }: Call, written: () => Promise<HistoryAnswer | undefined>, worker: Worker): Promise<void> {
  const say = (answer: HistoryAnswer) => worker.postMessage(answer)
  const begin = () => {
    if (!response.headersSent)
      response.writeHead(200, { ...safetyHeaders, 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' })
  }
  const ended = new Promise<string | undefined>((resolve) => {
    worker.on('message', (piece: HistoryPiece) => {
      switch (piece.kind) {
        case 'begun':
          begin()
          response.flushHeaders()
          return
        case 'written':
          void written().then((answer) => (answer === undefined ? resolve('the tail did not subscribe') : say(answer)))
          return
        case 'text':
          begin()
          if (response.write(piece.text)) say('more')
          else response.once('drain', () => say('more'))
          return
        case 'last':
          resolve(piece.error)
      }
    })
    worker.once('error', (error) => resolve(error instanceof Error ? error.message : String(error)))
    worker.once('exit', () => resolve('the reading ended'))
    response.once('close', () => resolve('nobody reads it'))
    // Gone while it waited for its turn.
    if (response.destroyed) resolve('nobody reads it')
  })
  const error = await ended
  if (!response.destroyed && error === undefined) {
    response.end()
    // Whoever leaves before the end has read enough.
    await finished(response).catch(() => undefined)
    return
  }
  await worker.terminate()
  // Broken off, what has begun shows as incomplete.
  if (response.headersSent) response.destroy()
  else if (!response.destroyed) throw new ApiError('failed', `the files could not be read: ${error}`)
}
