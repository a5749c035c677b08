/** One record, as a tree. Everything in it is text, whatever it looks like. */
import type { JSX } from 'preact'
import { useState } from 'preact/hooks'
import { visibleText } from '../visible-text.ts'
import { bytes } from './number-format.ts'
import { parsed, type Row } from './row-buffer.ts'

const textCharsShown = 2_000
const entriesShown = 200
/** Deeper values are shown as JSON. */
const depthMax = 12

export function RecordPanel({ row, close }: { readonly row: Row; readonly close: () => void }): JSX.Element {
  const fields = parsed(row.line)
  const whence = [
    ['topic', row.topic],
    ['host', row.host],
    ['origin', row.origin],
    ['number', row.seq],
  ] as const
  return (
    <section class="record" aria-label="Record">
      <header>
        <strong>{new Date(row.time).toISOString()}</strong>
        <span>
          <CopyButton text={row.line} what="line" />{' '}
          <button type="button" onClick={close} aria-label="Close the record">
            ✕
          </button>
        </span>
      </header>
      <p class="quiet">
        {whence
          .filter(([, value]) => value !== null && value !== undefined)
          .map(([name, value]) => `${name} ${visibleText(String(value))}`)
          .join(' · ')}
      </p>
      {fields === undefined ? <Text text={row.line} /> : <Tree value={fields} depth={0} />}
    </section>
  )
}

function Tree({ value, depth }: { readonly value: object; readonly depth: number }): JSX.Element {
  const [shown, setShown] = useState(entriesShown)
  const entries = Object.entries(value)
  return (
    <ul class="tree">
      {entries.slice(0, shown).map(([key, each]) => (
        <li key={key}>
          <Node name={key} value={each} depth={depth} />
        </li>
      ))}
      {entries.length > shown && (
        <li>
          <button type="button" onClick={() => setShown(shown + entriesShown)}>
            {entries.length - shown} more
          </button>
        </li>
      )}
    </ul>
  )
}

interface NodeProps {
  readonly name: string
  readonly value: unknown
  readonly depth: number
}

function Node({ name, value, depth }: NodeProps): JSX.Element {
  const key = <span class="key">{visibleText(name)}</span>
  if (typeof value === 'object' && value !== null && depth < depthMax) {
    const size = Array.isArray(value) ? `[${value.length}]` : `{${Object.keys(value).length}}`
    return (
      <details open={depth < 2}>
        <summary>
          {key} <span class="quiet">{size}</span>
        </summary>
        <Tree value={value} depth={depth + 1} />
      </details>
    )
  }
  return (
    <>
      {key}: <Text text={typeof value === 'string' ? value : (JSON.stringify(value) ?? '')} />{' '}
      <CopyButton text={typeof value === 'string' ? value : (JSON.stringify(value) ?? '')} what={name} />
    </>
  )
}

function Text({ text }: { readonly text: string }): JSX.Element {
  const [isWhole, setWhole] = useState(false)
  const shown = isWhole ? text : text.slice(0, textCharsShown)
  return (
    <>
      {/* Lines of a stack trace stay lines; everything else that is no letter is made visible. */}
      <span class="text">{shown.split('\n').map(visibleText).join('\n')}</span>
      {text.length > textCharsShown && (
        <button type="button" onClick={() => setWhole(!isWhole)}>
          {isWhole ? 'less' : `all ${bytes(text.length)}`}
        </button>
      )}
    </>
  )
}

function CopyButton({ text, what }: { readonly text: string; readonly what: string }): JSX.Element {
  const [said, setSaid] = useState('copy')
  const copy = () => {
    navigator.clipboard.writeText(text).then(
      () => setSaid('copied'),
      () => setSaid('not allowed'),
    )
  }
  return (
    <button type="button" onClick={copy} aria-label={`copy ${visibleText(what)}`}>
      {said}
    </button>
  )
}
