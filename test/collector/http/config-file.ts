import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { tempDir } from '../../support/processes.ts'

/** A config file of a test's own, removed with it. */
export async function configFile(text: string): Promise<AsyncDisposable & { readonly path: string }> {
  const dir = await tempDir()
  const path = join(dir.path, 'spillway.yaml')
  writeFileSync(path, text)
  return { path, [Symbol.asyncDispose]: () => dir[Symbol.asyncDispose]() }
}
