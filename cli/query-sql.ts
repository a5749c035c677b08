/** `spillway query --sql`: DuckDB over the kept files, where it is installed. */
import { listLogFiles } from '../collector/query/log-folder.ts'
import { csvLine } from '../dashboards/query-output.ts'
import { SpillwayError } from '../wire/spillway-error.ts'
import type { QueryFlags } from './flags.ts'

const packageName = '@duckdb/node-api'

/** What is used of the package. */
interface DuckDb {
  readonly DuckDBInstance: {
    create(path: string, options: Readonly<Record<string, string>>): Promise<{ connect(): Promise<DuckDbConnection> }>
  }
}

interface DuckDbConnection {
  run(sql: string): Promise<unknown>
  stream(sql: string): Promise<{
    columnNames(): readonly string[]
    yieldRowsJs(): AsyncIterable<readonly (readonly unknown[])[]>
  }>
}

/** Rows as JSON lines, or as CSV; the files are the table `logs`. */
export async function runSql(sql: string, templates: readonly string[], flags: QueryFlags): Promise<void> {
  const duckDb = await loadDuckDb()
  const listings = await Promise.all(templates.map((template) => listLogFiles(template)))
  const paths = listings.flatMap(({ files }) => files.map((file) => file.path))
  if (paths.length === 0)
    throw new SpillwayError('SPW_DIR_UNUSABLE', `no files of lines under ${templates.join(' and ')}; --dir says where they are`)
  let isOpen = true
  process.stdout.on('error', () => {
    isOpen = false
  })
  const connection = await (await duckDb.DuckDBInstance.create(':memory:', { memory_limit: '512MB' })).connect()
  const list = paths.map((path) => `'${path.replaceAll("'", "''")}'`).join(', ')
  try {
    await connection.run(
      `CREATE VIEW logs AS SELECT * FROM read_json([${list}], format = 'newline_delimited', union_by_name = true, ignore_errors = true, filename = true)`,
    )
    const result = await connection.stream(sql)
    const names = result.columnNames()
    if (flags.csv) process.stdout.write(`${csvLine(names)}\n`)
    for await (const rows of result.yieldRowsJs()) {
      if (!isOpen) break
      for (const row of rows)
        process.stdout.write(
          `${flags.csv ? csvLine(row.map(plain)) : JSON.stringify(Object.fromEntries(names.map((name, i) => [name, plain(row[i])])))}\n`,
        )
    }
  } catch (error) {
    throw new SpillwayError('SPW_OPTION_INVALID', `--sql: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
  }
}

/** Whole numbers come as bigint; JSON knows none, and those beyond 2^53 are text. */
function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : String(value)
  if (Array.isArray(value)) return value.map(plain)
  if (value === null || typeof value !== 'object' || value instanceof Date) return value
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, plain(each)]))
}

async function loadDuckDb(): Promise<DuckDb> {
  try {
    return (await import(packageName)) as DuckDb
  } catch (error) {
    throw new SpillwayError(
      'SPW_OPTION_INVALID',
      `--sql needs DuckDB, which is not installed (it is 70 MB): npm install ${packageName}, beside spillway; everything but --sql works without`,
      { cause: error },
    )
  }
}
