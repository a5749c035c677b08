/** Reads the files in a thread of its own: what somebody looks up must not hold up what comes in. */
import { parentPort, workerData } from 'node:worker_threads'
import type { HistoryQuestion } from './history-question.ts'
import { readHistory } from './read-history.ts'

/** A piece of the answer; the last one says so, or why there is none. */
export type HistoryPiece = { readonly text: string } | { readonly isLast: true; readonly error: string | undefined }

/** Pieces on their way to somebody who reads slowly. */
const piecesAhead = 8

let taken = 0
let given = 0
let room: (() => void) | undefined

parentPort?.on('message', () => {
  taken += 1
  room?.()
  room = undefined
})

function tell(piece: HistoryPiece): void {
  parentPort?.postMessage(piece)
}

async function waitForRoom(): Promise<void> {
  while (given - taken > piecesAhead) {
    await new Promise<void>((resolve) => {
      room = resolve
    })
  }
}

const reader = {
  give(text: string): void {
    given += 1
    tell({ text })
  },
  pace: (): Promise<void> | undefined => (given - taken > piecesAhead ? waitForRoom() : undefined),
}

readHistory(workerData as HistoryQuestion, reader)
  .then(
    () => tell({ isLast: true, error: undefined }),
    (error: unknown) => tell({ isLast: true, error: error instanceof Error ? error.message : String(error) }),
  )
  .finally(() => parentPort?.close())
