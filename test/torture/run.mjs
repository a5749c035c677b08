// `npm run torture`. Loads the command through vitest's own loader, because Node 20 runs no TypeScript.
import { createViteServer } from 'vitest/node'

const server = await createViteServer({
  configFile: false,
  appType: 'custom',
  logLevel: 'error',
  // The oldest Node that is supported knows no `await using`.
  oxc: { target: 'node20' },
  server: { middlewareMode: true, hmr: false, ws: false, watch: null },
})
try {
  const { torture } = await server.ssrLoadModule('/test/torture/command.ts')
  process.exitCode = await torture(process.argv.slice(2))
} finally {
  await server.close()
}
