import { issueLines, readConfig } from '../collector/config.ts'
import { readConfigFile } from './collector.ts'

/** Prints every error at once; exit code 2 when there is one. */
export function runValidate(file: string): void {
  const result = readConfig({ text: readConfigFile(file), file })
  if (result.ok) {
    process.stdout.write(`${file}: ok\n`)
    return
  }
  process.stderr.write(`${issueLines(result.issues, file).join('\n')}\n`)
  process.exitCode = 2
}
