// npm run simulate -- --seed 1234, or --seeds 1..5000: the simulation with these seeds only.
import { spawn } from 'node:child_process'

const [flag, value = ''] = process.argv.slice(2)
if ((flag !== '--seed' && flag !== '--seeds') || !/^\d+(\.\.\d+)?$/.test(value)) {
  console.error('usage: npm run simulate -- --seed 1234\n       npm run simulate -- --seeds 1..5000')
  process.exit(2)
}
const command = ['vitest', 'run', '--config', 'test/vitest.config.ts', 'test/simulation/simulation.test.ts']
spawn('npx', command, { stdio: 'inherit', env: { ...process.env, SPILLWAY_SEEDS: value } }).on('exit', (code) => process.exit(code ?? 1))
