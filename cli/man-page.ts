/** The manual page, in roff, made from the tables that read the command line. */
import type { Command } from 'commander'
import { version } from '../wire/version.ts'

export function manPage(program: Command): string {
  const lines = [
    `.TH SPILLWAY 1 "" "spillway ${version}" "Spillway"`,
    '.SH NAME',
    'spillway \\- carry logs and metrics of Node applications to files and to people',
    '.SH SYNOPSIS',
    '.B spillway',
    '.I command',
    '.RI [ options ]',
    '.SH DESCRIPTION',
    escaped(program.description()),
    ...afterHelp(program),
    '.SH COMMANDS',
  ]
  for (const command of program.commands) {
    lines.push(`.SS ${escaped(`spillway ${command.name()} ${command.usage()}`)}`, escaped(command.description()))
    for (const argument of command.registeredArguments) lines.push('.TP', `.I ${escaped(argument.name())}`, escaped(argument.description))
    for (const option of command.options) {
      if (option.hidden) continue
      const choices =
        option.argChoices === undefined
          ? ''
          : ` (${option.argChoices.join(', ')}${option.defaultValue === undefined ? '' : `; default: ${option.defaultValue}`})`
      lines.push('.TP', `.B ${escaped(option.flags)}`, escaped(`${option.description}${choices}`))
    }
    lines.push(...afterHelp(command))
  }
  lines.push('.SH SEE ALSO', 'The documentation that comes with the package, in its folder docs.')
  return `${lines.join('\n')}\n`
}

/** What stands behind the options: explanations and examples, in lines as they are. */
function afterHelp(command: Command): string[] {
  let whole = ''
  command.configureOutput({ writeOut: (text) => (whole += text), getOutHasColors: () => false })
  command.outputHelp()
  const after = whole.slice(command.helpInformation().length).trim()
  return after === '' ? [] : ['.PP', '.nf', ...after.split('\n').map(escaped), '.fi']
}

/** Text, whatever it begins with. */
function escaped(text: string): string {
  const plain = text.replaceAll('\\', '\\e').replaceAll('-', '\\-').replaceAll('\n', ' ')
  return /^[.']/.test(plain) ? `\\&${plain}` : plain
}
