import { examine, type Finding } from '../dashboards/doctor.ts'
import { defaultDataEndpoint, parseEndpoint, siblingEndpoint } from '../wire/endpoint.ts'
import type { DoctorFlags } from './flags.ts'

const timeoutMsDefault = 3_000

/** Prints what was found, one line each; exit code 1 when the way is not clear. */
export async function runDoctor(flags: DoctorFlags): Promise<void> {
  const texts = flags.connect?.split(',') ?? process.env['SPILLWAY_COLLECTOR']?.split(',') ?? [defaultDataEndpoint]
  const controls = process.env['SPILLWAY_CONTROL']?.split(',')
  for (const [i, text] of texts.entries()) {
    const data = parseEndpoint(text.trim(), flags.connect === undefined ? 'SPILLWAY_COLLECTOR' : '--connect')
    const control =
      controls?.[i] === undefined ? siblingEndpoint(data, 1, 'control') : parseEndpoint(controls[i].trim(), 'SPILLWAY_CONTROL')
    process.stdout.write(`${data}\n`)
    for await (const finding of examine({ data, control, timeoutMs: flags.timeout ?? timeoutMsDefault })) {
      process.stdout.write(`  ${mark(finding)} ${finding.text}\n`)
      if (finding.isBad) process.exitCode = 1
    }
  }
}

function mark(finding: Finding): string {
  return finding.isBad ? 'bad ' : 'ok  '
}
