/** Text in pieces, each with its style: cut, searched and coloured as what one reads, not as what is sent to a terminal. */
import { styleText } from 'node:util'
import type { TextRange } from '../wire/text-search.ts'
import { charWidth } from './text-width.ts'

export type Style = Parameters<typeof styleText>[0]

export interface Piece {
  /** Without control characters; see visible-text.ts. */
  readonly text: string
  readonly style?: Style | undefined
}

export type StyledText = readonly Piece[]

const highlightStyle: Style = ['bold', 'inverse']

/** The text as it is sent: plain, or with colours. */
export function painted(text: StyledText, hasColour: boolean): string {
  let out = ''
  for (const { text: piece, style } of text)
    out += hasColour && style !== undefined && piece !== '' ? styleText(style, piece, { validateStream: false }) : piece
  return out
}

export function plainText(text: StyledText): string {
  return painted(text, false)
}

/** The same text with some ranges of it highlighted; ranges are in order and do not overlap. */
export function highlighted(text: StyledText, ranges: readonly TextRange[]): StyledText {
  if (ranges.length === 0) return text
  const out: Piece[] = []
  let start = 0
  let next = 0
  for (const piece of text) {
    const end = start + piece.text.length
    let at = start
    while (at < end) {
      while ((ranges[next]?.to ?? Number.POSITIVE_INFINITY) <= at) next += 1
      const range = ranges[next]
      const isInside = range !== undefined && range.from <= at
      const until = Math.min(end, range === undefined ? end : isInside ? range.to : range.from)
      out.push({ text: piece.text.slice(at - start, until - start), style: isInside ? highlightStyle : piece.style })
      at = until
    }
    start = end
  }
  return out
}

/** The text, or its beginning with `…` behind it, in at most `columns`. */
export function cutEnd(text: StyledText, columns: number): StyledText {
  let width = 0
  let cut: { readonly piece: number; readonly at: number } | undefined
  for (const [index, piece] of text.entries()) {
    let at = 0
    for (const char of piece.text) {
      const wide = charWidth(char)
      // The last place where the ellipsis still fits.
      if (width + wide > columns - 1) cut ??= { piece: index, at }
      width += wide
      if (width > columns) return [...text.slice(0, cut?.piece), { ...piece, ...kept(text, cut) }, { text: '…', style: 'gray' }]
      at += char.length
    }
  }
  return text
}

function kept(text: StyledText, cut: { readonly piece: number; readonly at: number } | undefined): Piece {
  const piece = cut === undefined ? undefined : text[cut.piece]
  return { text: piece?.text.slice(0, cut?.at) ?? '', style: piece?.style }
}
