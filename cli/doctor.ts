import { type LinkEndpoints, resolveOptions } from '../agent/options.ts'
import { examine, type Finding } from '../dashboards/doctor.ts'
import { SpillwayError } from '../wire/spillway-error.ts'
import type { DoctorFlags } from './flags.ts'

const timeoutMsDefault = 3_000

/** Prints what was found, one line each; exit code 1 when the way is not clear. */
export async function runDoctor(flags: DoctorFlags): Promise<void> {
  for (const { data, control } of linksOf(flags)) {
    process.stdout.write(`${data}\n`)
    for await (const finding of examine({ data, control, timeoutMs: flags.timeout ?? timeoutMsDefault })) {
      process.stdout.write(`  ${mark(finding)} ${finding.text}\n`)
      if (finding.isBad) process.exitCode = 1
    }
  }
}

/** The endpoints an application started here would use. `--connect` names another collector, and that one's control follows it. */
function linksOf(flags: DoctorFlags): readonly LinkEndpoints[] {
  const { SPILLWAY_COLLECTOR, SPILLWAY_CONTROL } = process.env
  if (flags.connect === undefined) return resolveOptions({ service: 'doctor' }, { SPILLWAY_COLLECTOR, SPILLWAY_CONTROL }).links
  try {
    return resolveOptions({ service: 'doctor', collector: flags.connect }, {}).links
  } catch (error) {
    if (!(error instanceof SpillwayError)) throw error
    throw new SpillwayError(error.code, error.message.replace(/^collector: /, '--connect: '), { cause: error })
  }
}

function mark(finding: Finding): string {
  return finding.isBad ? 'bad ' : 'ok  '
}
