/** Reads the files in a thread of its own: what somebody looks up must not hold up what comes in. */
import { parentPort, workerData } from 'node:worker_threads'
import type { HistoryQuestion } from './history-question.ts'
import { readHistory } from './read-history.ts'

/** What the thread says. */
export type HistoryPiece =
  /** The files are known as they are now. */
  | { readonly kind: 'begun' }
  /** To be answered when the files hold what has been received. */
  | { readonly kind: 'written' }
  /** Whole lines of the answer. To be answered when there is room for more. */
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'last'; readonly error: string | undefined }

/** `behind`: they still do not. */
export type HistoryAnswer = 'more' | 'written' | 'behind'

/** Pieces on their way to somebody who reads slowly. */
const piecesAhead = 8

let taken = 0
let given = 0
let room: (() => void) | undefined
let written: ((isSo: boolean) => void) | undefined

parentPort?.on('message', (answer: HistoryAnswer) => {
  if (answer !== 'more') return written?.(answer === 'written')
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
    tell({ kind: 'text', text })
  },
  begun: () => tell({ kind: 'begun' }),
  async written(): Promise<boolean> {
    tell({ kind: 'written' })
    return await new Promise<boolean>((resolve) => {
      written = resolve
    })
  },
  pace: (): Promise<void> | undefined => (given - taken > piecesAhead ? waitForRoom() : undefined),
}

readHistory(workerData as HistoryQuestion, reader)
  .then(
    () => tell({ kind: 'last', error: undefined }),
    (error: unknown) => tell({ kind: 'last', error: error instanceof Error ? error.message : String(error) }),
  )
  .finally(() => parentPort?.close())
