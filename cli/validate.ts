import { issueLines, readConfig } from '../collector/config.ts'
import { InfluxTarget } from '../collector/sinks/influx/influx-target.ts'
import { readConfigFile } from './collector.ts'
import type { ValidateFlags } from './flags.ts'

/** Prints every error at once; exit code 2 when there is one. With `connect`, 1 when a sink's server cannot be written to. */
export async function runValidate(file: string, { connect = false }: ValidateFlags): Promise<void> {
  const result = readConfig({ text: readConfigFile(file), file })
  if (!result.ok) {
    process.stderr.write(`${issueLines(result.issues, file).join('\n')}\n`)
    process.exitCode = 2
    return
  }
  process.stdout.write(`${file}: ok\n`)
  if (!connect) return
  for (const [name, sink] of Object.entries(result.config.sinks)) {
    if (sink.type !== 'influxdb') continue
    const target = new InfluxTarget(sink)
    const problem = await target.check(new AbortController().signal)
    target.close()
    if (problem === undefined) process.stdout.write(`sinks.${name}: ${target.where} can be written to\n`)
    else {
      process.stderr.write(`sinks.${name}: ${target.where}: ${problem}\n`)
      process.exitCode = 1
    }
  }
}
