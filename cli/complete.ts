/**
 * What can stand at the cursor: commands, flags and their values from the same tables that read the command line, and the
 * services of the collector that is running. Asked by the scripts of completion-scripts.ts at each press of Tab.
 */
import type { Command, Option } from 'commander'
import { requestStatus } from '../dashboards/status-request.ts'
import { levels } from '../wire/level.ts'
import { SpillwayError } from '../wire/spillway-error.ts'
import type { Shell } from './completion-scripts.ts'
import { httpAddress } from './http-address.ts'

export interface Candidate {
  readonly value: string
  readonly text: string
}

/** Somebody waits with a finger on the key; a collector that takes longer has no names to offer. */
const liveWaitMs = 400
const liveBytesMax = 4_194_304
const servicesMax = 200
/**
 * A shell puts what is offered on the command line, where it would be run: whatever an application calls itself, only a
 * name that means nothing to a shell is offered.
 */
const plainService = /^[A-Za-z0-9][A-Za-z0-9._+@-]{0,99}$/
const filesWanted: Candidate = { value: ':files', text: '' }
const foldersWanted: Candidate = { value: ':dirs', text: '' }

/** @param words - Behind the command's name, up to the one at the cursor, which may be empty. */
export async function candidates(program: Command, shell: Shell, words: readonly string[]): Promise<Candidate[]> {
  const joined = shell === 'bash' ? rejoined(words) : [...words]
  const current = joined.pop() ?? ''
  const [name] = joined
  if (name === undefined) {
    const own = current.startsWith('-')
      ? flagsOf(program)
      : program.commands.map((each) => ({ value: each.name(), text: firstSentence(each) }))
    return startingWith(own, current)
  }
  const command = program.commands.find((each) => each.name() === name)
  if (command === undefined) return []
  const before = joined.at(-1) ?? ''
  const flag = optionOf(command, before)
  if (joined.length > 1 && flag?.required) return startingWith(await valuesOf(flag, joined), current)
  const [, long, value] = /^(--[a-z-]+)=(.*)$/s.exec(current) ?? []
  if (long !== undefined && value !== undefined) {
    const option = optionOf(command, long)
    const values = option === undefined ? [] : startingWith(await valuesOf(option, joined), value)
    // Bash takes the part behind `=` for a word of its own.
    return shell === 'bash' ? values : values.map((each) => ({ ...each, value: `${long}=${each.value}` }))
  }
  if (current.startsWith('-')) return startingWith(flagsOf(command), current)
  return startingWith(argumentsOf(command, joined.slice(1)), current)
}

/** Bash breaks words at `:` and `=`. */
function rejoined(words: readonly string[]): string[] {
  const joined: string[] = []
  let isOpen = false
  for (const word of words) {
    const isBreak = /^[:=]+$/.test(word)
    if (joined.length > 0 && (isBreak || isOpen)) joined.push(`${joined.pop()}${word}`)
    else joined.push(word)
    isOpen = isBreak
  }
  return joined
}

function startingWith(all: readonly Candidate[], start: string): Candidate[] {
  return all.filter(({ value }) => value.startsWith(start) || value.startsWith(':'))
}

function flagsOf(command: Command): Candidate[] {
  const help = { value: '--help', text: 'print this help' }
  return [
    ...command.options
      .filter((option) => !option.hidden)
      .map((option) => ({ value: option.long ?? option.flags, text: option.description })),
    help,
  ]
}

function optionOf(command: Command, word: string): Option | undefined {
  return command.options.find((option) => option.long === word || option.short === word)
}

async function valuesOf(option: Option, words: readonly string[]): Promise<Candidate[]> {
  if (option.argChoices !== undefined) return option.argChoices.map((value) => ({ value, text: '' }))
  if (option.long === '--level') return levels.map((value) => ({ value, text: '' }))
  if (option.long === '--service') return liveServices(words)
  if (/<file>/.test(option.flags)) return [filesWanted]
  return /<dir>/.test(option.flags) ? [foldersWanted] : []
}

function argumentsOf(command: Command, given: readonly string[]): Candidate[] {
  const places = command.registeredArguments
  const argument = places[Math.min(given.filter((word) => !word.startsWith('-')).length, places.length - 1)]
  if (argument?.argChoices !== undefined) return argument.argChoices.map((value) => ({ value, text: '' }))
  return argument?.name() === 'file' ? [filesWanted] : []
}

/** Names of the applications a collector knows; none when it does not answer in time. */
async function liveServices(words: readonly string[]): Promise<Candidate[]> {
  const http = words.indexOf('--http')
  const address = words.find((word) => word.startsWith('--http='))?.slice('--http='.length) ?? (http === -1 ? undefined : words[http + 1])
  try {
    const text = await requestStatus(httpAddress(address), { bytesMax: liveBytesMax, waitMs: liveWaitMs })
    const read = JSON.parse(text) as { readonly origins?: unknown } | null
    const origins: readonly unknown[] = Array.isArray(read?.origins) ? read.origins : []
    const names = origins.map((origin) => (origin as { readonly service?: unknown } | null)?.service)
    const plain = names.filter((name): name is string => typeof name === 'string' && plainService.test(name))
    return [...new Set(plain)]
      .sort()
      .slice(0, servicesMax)
      .map((value) => ({ value, text: 'running' }))
  } catch (error) {
    if (error instanceof SpillwayError || error instanceof SyntaxError) return []
    throw error
  }
}

function firstSentence(command: Command): string {
  return /^.*?[.:](?= |$)/s.exec(command.description())?.[0].replace(/[.:]$/, '') ?? command.description()
}

/** One per line; a tab stands before what it means. */
export function candidateLines(found: readonly Candidate[]): string {
  return found.map(({ value, text }) => `${value}\t${text.replaceAll(/\s+/g, ' ')}\n`).join('')
}
