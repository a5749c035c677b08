/** A list of which only what is seen is in the document: a hundred thousand rows scroll as forty do. */
import type { JSX } from 'preact'
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks'
import { clock } from './number-format.ts'
import { levelLetter, type Row, summaryOf } from './row-buffer.ts'

/** As in style.css. */
const rowHeight = 22
const rowsAround = 8

interface RowListProps {
  readonly rows: readonly Row[]
  /** Number of the first row: it tells how far the others have moved. */
  readonly first: number
  readonly isFollowing: boolean
  readonly follow: (isFollowing: boolean) => void
  /** Number of the row that is chosen. */
  readonly chosen: number | undefined
  readonly choose: (row: number | undefined) => void
  readonly open: (row: number) => void
  /** The beginning is near. */
  readonly atTop: () => void
}

export function RowList({ rows, first, isFollowing, follow, chosen, choose, open, atTop }: RowListProps): JSX.Element {
  const list = useRef<HTMLDivElement>(null)
  const [seen, setSeen] = useState({ top: 0, height: 600 })
  const firstBefore = useRef(first)

  useLayoutEffect(() => {
    const element = list.current
    if (element === null) return
    const moved = first - firstBefore.current
    firstBefore.current = first
    if (isFollowing) element.scrollTop = element.scrollHeight
    else if (moved !== 0) element.scrollTop -= moved * rowHeight
    setSeen({ top: element.scrollTop, height: element.clientHeight })
  }, [first, rows.length, isFollowing])

  useEffect(() => {
    const element = list.current
    if (element === null) return
    const observer = new ResizeObserver(() => setSeen({ top: element.scrollTop, height: element.clientHeight }))
    observer.observe(element)
    return () => observer.disconnect()
  }, [])

  const scrolled = () => {
    const element = list.current
    if (element === null) return
    const isAtEnd = element.scrollHeight - element.scrollTop - element.clientHeight < 2 * rowHeight
    if (isAtEnd !== isFollowing) follow(isAtEnd)
    if (element.scrollTop < 10 * rowHeight && !isAtEnd) atTop()
    setSeen({ top: element.scrollTop, height: element.clientHeight })
  }

  const pressed = (event: KeyboardEvent) => {
    const page = Math.max(1, Math.floor(seen.height / rowHeight) - 1)
    const steps: Readonly<Record<string, number>> = { ArrowUp: -1, ArrowDown: 1, PageUp: -page, PageDown: page }
    const step = steps[event.key]
    const last = first + rows.length - 1
    if (step !== undefined && rows.length > 0) {
      const from = chosen ?? first + Math.floor((seen.top + seen.height / 2) / rowHeight)
      const next = Math.min(last, Math.max(first, from + step))
      follow(false)
      choose(next)
      reveal(next - first)
      if (next - first < 10) atTop()
    } else if (event.key === 'Home' && rows.length > 0) {
      follow(false)
      choose(first)
      reveal(0)
      atTop()
    } else if (event.key === 'End') {
      choose(undefined)
      follow(true)
    } else if (event.key === 'Enter' && chosen !== undefined) open(chosen)
    else return
    event.preventDefault()
  }

  const reveal = (index: number) => {
    const element = list.current
    if (element === null) return
    const top = index * rowHeight
    if (top < element.scrollTop) element.scrollTop = top
    else if (top + rowHeight > element.scrollTop + element.clientHeight) element.scrollTop = top + rowHeight - element.clientHeight
  }

  const from = Math.max(0, Math.floor(seen.top / rowHeight) - rowsAround)
  const to = Math.min(rows.length, Math.ceil((seen.top + seen.height) / rowHeight) + rowsAround)
  return (
    <div
      ref={list}
      class="rows"
      role="listbox"
      aria-label="Records, oldest first"
      aria-activedescendant={chosen === undefined ? undefined : `row-${chosen}`}
      tabIndex={0}
      onScroll={scrolled}
      onKeyDown={pressed}
    >
      <div role="presentation" style={{ height: `${rows.length * rowHeight}px` }}>
        {rows.slice(from, to).map((row, i) => {
          const number = first + from + i
          return (
            // biome-ignore lint/a11y/useKeyWithClickEvents: the list takes the keys, as a listbox does
            // biome-ignore lint/a11y/useFocusableInteractive: the list has the focus and names its active row
            <div
              key={number}
              id={`row-${number}`}
              role="option"
              aria-selected={number === chosen}
              style={{ top: `${(from + i) * rowHeight}px` }}
              onClick={() => open(number)}
            >
              <span class="quiet">{clock(row.time)}</span>
              <span class={`row-level mark-${row.level ?? 'debug'}`} title={row.level ?? 'metric'}>
                {row.level === null ? '·' : levelLetter[row.level]}
              </span>
              <span class="row-service quiet">{row.service}</span>
              <span class="row-text">{summaryOf(row)}</span>
            </div>
          )
        })}
      </div>
    </div>
  )
}
