import { LineQuery } from './line-query.ts'
import { encodingOf, LogFile, type ReadTrouble } from './log-blocks.ts'
import { IndexBuilder, writeIndex } from './log-index.ts'

/**
 * Makes the index of a file that will not be written to any more, such as one that was just compressed.
 *
 * @returns False when there is none: the file cannot be read whole, or the index cannot be written. A query does without.
 * @throws What the system says when the file cannot be opened.
 */
export async function buildIndex(path: string): Promise<boolean> {
  const encoding = encodingOf(path)
  if (encoding === undefined) return false
  await using file = await LogFile.open(path, encoding)
  const entry = { path, encoding, service: '', level: undefined }
  const query = new LineQuery({ texts: [] })
  const trouble: ReadTrouble = { longLines: 0, damage: undefined }
  const builder = new IndexBuilder()
  for await (const block of file.blocks(trouble)) {
    const summary = query.scan(block, entry, true, () => undefined)
    if (summary !== undefined) builder.add(summary, block.isStart)
  }
  if (trouble.damage !== undefined || trouble.longLines > 0) return false
  return await writeIndex(file, builder.finish(file.size))
}
