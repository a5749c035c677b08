#!/usr/bin/env node
/** The `spillway` command. Each subcommand loads its part only when it is run. */
import { Argument, Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import { timeForms } from '../dashboards/shown-time.ts'
import { topSorts } from '../dashboards/top-sorts.ts'
import { parseDuration } from '../wire/quantity.ts'
import { SpillwayError } from '../wire/spillway-error.ts'
import { version } from '../wire/version.ts'

import { completionScripts, type Shell, shells } from './completion-scripts.ts'

import type { CollectorFlags, DoctorFlags, QueryFlags, StatusFlags, TailFlags, TopFlags, ValidateFlags } from './flags.ts'

const exitFailed = 1
const exitUsage = 2
const usageCodes = new Set([
  'SPW_OPTION_INVALID',
  'SPW_PATTERN_INVALID',
  'SPW_EXPRESSION_INVALID',
  'SPW_TOPIC_INVALID',
  'SPW_CONFIG_INVALID',
  'SPW_BIND_REFUSED',
])

const program = new Command('spillway')
  .description('Carries logs of Node applications to files and to people, without ever making the application wait.')
  .version(version, '-V, --version', 'print the version')
  .helpOption('-h, --help', 'print this help')
  .helpCommand(false)
  .showHelpAfterError('(see --help)')
  .addHelpText(
    'after',
    `
Start here:
  $ spillway collector                    keep what applications log under ./spillway-data/logs/
  $ spillway tail                         watch it live
  $ spillway query --level error          search what was kept
  $ spillway status                       what was delivered, what was lost and why
  $ spillway top                          the same, live

Exit codes: 0 done, 1 failed, 2 wrong usage.`,
  )

program
  .command('collector')
  .description('Receive records from applications and keep them in files. Runs until it is stopped (Ctrl-C or SIGTERM).')
  .option('-c, --config <file>', 'configuration, YAML; flags win over it')
  .option('--dir <dir>', 'folder for log files and the lock (default: ./spillway-data)')
  .option(
    '--listen <host:port>',
    'data endpoint; control is the next port, tail the one after; port 0 takes any free ones (default: 127.0.0.1:7701)',
  )
  .option('--http <host:port|off>', 'health and status over http (default: 127.0.0.1:7700)')
  .option('--subscribe <pattern>', 'what to receive; may be given several times (default: log.> and metric.>)', collect)
  .option('--insecure', 'allow addresses that other machines can reach, without keys')
  .addHelpText(
    'after',
    `
Examples:
  $ spillway collector
  $ spillway collector --dir /var/lib/spillway --listen 127.0.0.1:7801 --http off
  $ spillway collector -c spillway.yaml`,
  )
  .action(async (flags: CollectorFlags) => (await import('./collector.ts')).runCollector(flags))

program
  .command('tail')
  .description('Show records as they are logged. The collector sends only what is asked for.')
  .argument('[patterns...]', 'topics: log.<level>.<service>.[<name>.], with * for one part and > for the rest (default: log.>)')
  .option('--connect <endpoint>', 'tail endpoint of the collector (default: tcp://127.0.0.1:7703)')
  .option('--level <level>', 'this level and above: trace, debug, info, warn, error, fatal')
  .option('--service <name>', 'only this service')
  .option('--where <expr>', "only records that meet this condition, such as 'res.statusCode >= 500'")
  .option('--grep <text>', 'only lines that hold this text, or /regular expression/; given several times: any of them', collect)
  .option('--exclude <text>', 'no lines that hold this text, or /regular expression/; given several times: none of them', collect)
  .option('--highlight <text>', 'mark this text, or /regular expression/, wherever it stands', collect)
  .option('--metrics', 'points of metrics instead of lines')
  .option('--fields <a,b.c>', 'only these fields, in this order')
  .option('--template <text>', "write each record like this: '{time} {level} {msg} {res.statusCode}'")
  .option('--json', 'lines as they were logged, also on a terminal')
  .option('--logfmt', 'key=value pairs, also on a terminal')
  .option('--pretty', 'for people, also into a pipe')
  .addOption(new Option('--time <form>', 'time for people').choices(timeForms).default('local'))
  .option('--no-color', 'no colours, as with NO_COLOR=1; FORCE_COLOR=1 asks for them also in a pipe')
  .option('--wrap', 'long lines go on in the next row of the terminal (default)')
  .addOption(new Option('--truncate', 'long lines are cut at the edge of the terminal').conflicts('wrap'))
  .option('--limit <n>', 'end after this many records', parseCount)
  .option('--for <duration>', 'end after this long, such as 500ms, 10s or 5m', parseFor)
  .option('--since <time>', "first what the collector's files hold from then on: how long ago, such as 10m, or an ISO time")
  .option('--last <n>', "first the newest n records of the collector's files", parseCount)
  .option('--http <address>', 'http endpoint of the collector, for --since and --last (default: SPILLWAY_HTTP or 127.0.0.1:7700)')
  .option('--exit-status', 'exit code 1 when nothing was shown')
  .addHelpText(
    'after',
    `
Records go to standard output, words about them to standard error. Missed records are counted and said.
On a terminal: space pauses, / filters, 1 to 6 set the level, c clears, q quits, ? tells more.

Examples:
  $ spillway tail --level warn
  $ spillway tail 'log.*.checkout.>' --for 10s
  $ spillway tail --where 'res.statusCode >= 500 && responseTime > 100'
  $ spillway tail --grep /refused|declined/i --time relative
  $ spillway tail --since 10m --level error
  $ spillway tail --metrics --service checkout
  $ spillway tail --service checkout --json | jq .msg
  $ spillway tail --level error --for 5m --limit 1 --exit-status && echo 'there was an error'`,
  )
  .action(async (patterns: string[], flags: TailFlags) => (await import('./tail.ts')).runTail(patterns, flags))

program
  .command('status')
  .description('Show the books of a collector: what was accepted, delivered and lost, and why, per application and topic, the worst first.')
  .option('--http <host:port>', 'http address of the collector (default: SPILLWAY_HTTP, else 127.0.0.1:7700)')
  .option('--json', 'the whole status as one JSON document')
  .option(
    '--since <time>',
    'look for losses since then: 10m ago, or 2026-05-31T18:00, local time unless it ends in Z (default: since the books began)',
  )
  .addHelpText(
    'after',
    `
Exit code 1 when records were lost, expired or rejected, or when no collector answers; else 0. Of losses of one kind
only the first and the last time are kept: with --since, they count as a whole when the last one came since then, so
too much may be counted, never too little.

Examples:
  $ spillway status
  $ spillway status --since 10m || echo 'records were lost, or no collector answers'
  $ spillway status --json | jq .totals`,
  )
  .action(async (flags: StatusFlags) => (await import('./status.ts')).runStatus(flags))

program
  .command('query')
  .description('Search and count what is kept in files, with or without a running collector.')
  .argument('[conditions...]', "conditions such as 'res.statusCode >= 500', and topics such as log.error.>; all conditions have to be met")
  .option('-c, --config <file>', 'configuration of the collector, YAML: where its files are')
  .option('--dir <dir>', 'folder of the collector, or any folder of .ndjson, .ndjson.gz and .ndjson.zst files (default: ./spillway-data)')
  .option('--since <time>', 'from then on: 10m ago, or 2026-05-31T18:00, local time unless it ends in Z (default: all)')
  .option('--until <time>', 'before then: 5m ago, or 2026-05-31T18:00 (default: all)')
  .option('--level <level>', 'this level and above: trace, debug, info, warn, error, fatal')
  .option('--service <name>', 'only this service; may be given several times', collect)
  .option('--where <condition>', 'a condition, in the Common Expression Language; may be given several times', collect)
  .option('--grep <text>', 'only lines with this text in them; may be given several times', collect)
  .option('--fields <names>', 'only these fields, separated by commas: time,level,res.statusCode')
  .option('--json', 'lines as they were logged, results as JSON lines (default into a pipe)')
  .option('--pretty', 'for people (default on a terminal)')
  .option('--csv', 'as CSV, with a header (default fields: time,level,service,msg)')
  .option('--limit <n>', 'end after this many lines', parseCount)
  .option('--count', 'how many lines match')
  .option('--stats <field>', 'count, least, most, mean and p50, p95, p99 of the numbers in this field')
  .option('--by <field>', 'apart for each value of this field, the most frequent first')
  .option('--every <duration>', 'apart for each interval, such as 1m or 1h; alone, as a histogram')
  .option('--follow', 'then go on with what is written from now on')
  .option('--sql <query>', 'SQL over the table logs, with DuckDB where it is installed')
  .addHelpText(
    'after',
    `
Lines come in the order of their time. Results go to standard output, words about them to standard error. Exit code 1 when
a file could not be read whole, 130 when it was interrupted. Conditions are described in docs/QUERY.md.

Examples:
  $ spillway query 'res.statusCode >= 500' --since 1h
  $ spillway query --service checkout --level error --since 2026-05-31T18:00 --until 2026-05-31T19:00
  $ spillway query --where 'err.message.contains("refused")' --every 10m
  $ spillway query --stats responseTime --by req.url --since 1d
  $ spillway query --grep payment --csv --fields time,order,cents`,
  )
  .action(async (args: string[], flags: QueryFlags) => (await import('./query.ts')).runQueryCommand(args, flags))

program
  .command('top')
  .description('Show live what comes and goes: services, rates by level, losses, lag, event loops, the busiest topics.')
  .option('--http <host:port>', 'http address of the collector (default: SPILLWAY_HTTP, else 127.0.0.1:7700)')
  .option('--every <duration>', 'how often to look (default: 1s)', parseFor)
  .addOption(new Option('--sort <column>', 'what to sort by').choices(topSorts).default('rate'))
  .option('--filter <text>', 'only what holds this text, or /regular expression/, in its name')
  .option('--once', 'measure once, print that and end; so it does without a terminal')
  .option('--json', 'a JSON document each time, one per line')
  .option('--no-color', 'no colours, as with NO_COLOR=1')
  .addHelpText(
    'after',
    `
On a terminal: s sorts, v turns to origins and topics, / filters, space pauses, q quits, ? tells more.

Examples:
  $ spillway top
  $ spillway top --sort lost --every 5s
  $ spillway top --once --json | jq '.services[] | select(.lostPerSecond > 0)'`,
  )
  .action(async (flags: TopFlags) => (await import('./top.ts')).runTop(flags))

program
  .command('validate')
  .description('Check a configuration file and print everything that is wrong with it.')
  .argument('<file>', 'configuration, YAML')
  .option('--connect', 'ask the databases of its sinks too: are they there, do they take the credentials, is there such a bucket')
  .addHelpText(
    'after',
    '\nExit codes: 0 all is well, 1 a database cannot be written to, 2 the file is wrong.\n\nExamples:\n  $ spillway validate spillway.yaml\n  $ spillway validate --connect spillway.yaml',
  )
  .action(async (file: string, flags: ValidateFlags) => (await import('./validate.ts')).runValidate(file, flags))

program
  .command('doctor')
  .description('Check the way from here to a collector: does it answer, does it speak the same protocol, who is connected.')
  .option('--connect <endpoint>', 'data endpoint (default: SPILLWAY_COLLECTOR, else tcp://127.0.0.1:7701)')
  .option('--timeout <duration>', 'how long to wait for each answer (default: 3s)', parseFor)
  .addHelpText(
    'after',
    '\nRun it on the machine of the application, with the same environment.\n\nExample:\n  $ spillway doctor --connect tcp://127.0.0.1:7701',
  )
  .action(async (flags: DoctorFlags) => (await import('./doctor.ts')).runDoctor(flags))

program
  .command('completion')
  .description('Print a script that completes commands, flags, and the services of a running collector.')
  .addArgument(new Argument('<shell>', 'which shell').choices(shells))
  .addHelpText(
    'after',
    `
Examples:
  $ spillway completion bash > ~/.local/share/bash-completion/completions/spillway
  $ spillway completion zsh > "\${fpath[1]}/_spillway"
  $ spillway completion fish > ~/.config/fish/completions/spillway.fish`,
  )
  .action((shell: Shell) => print(completionScripts[shell]))

program
  .command('man')
  .description('Print the manual page.')
  .addHelpText('after', '\nExample:\n  $ spillway man > ~/.local/share/man/man1/spillway.1')
  .action(async () => print((await import('./man-page.ts')).manPage(program)))

function print(text: string): void {
  // A reader that leaves early has seen enough.
  process.stdout.on('error', () => undefined)
  process.stdout.write(text)
}

function collect(value: string, before: string[] | undefined): string[] {
  return [...(before ?? []), value]
}

function parseCount(text: string): number {
  if (!/^[1-9]\d{0,14}$/.test(text)) throw new InvalidArgumentError('Expected a whole number from 1.')
  return Number(text)
}

function parseFor(text: string): number {
  const ms = parseDuration(text)
  // Longer is more than a timer can wait.
  if (ms === undefined || ms >= 2 ** 31) throw new InvalidArgumentError('Expected a duration such as 500ms, 10s or 5m.')
  return ms
}

async function main(): Promise<void> {
  for (const command of [program, ...program.commands]) command.exitOverride()
  try {
    const [, , first, shell, ...words] = process.argv
    // The words at a cursor are not there to be obeyed.
    if (first === '__complete') await complete(shell, words)
    else await program.parseAsync()
  } catch (error) {
    if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : exitUsage
    else if (error instanceof SpillwayError) {
      process.stderr.write(`spillway: ${error.message}\n`)
      process.exitCode = usageCodes.has(error.code) ? exitUsage : exitFailed
    } else throw error
  }
}

async function complete(shell: string | undefined, words: readonly string[]): Promise<void> {
  const { candidateLines, candidates } = await import('./complete.ts')
  print(candidateLines(await candidates(program, shells.find((known) => known === shell) ?? 'bash', words)))
}

await main()
