import { cli, type Ended, type RunningProcess, startNode } from '../support/processes.ts'

/** The `spillway` command, started. */
export function startCli(args: readonly string[], options: Parameters<typeof startNode>[1] = {}): RunningProcess {
  return startNode([cli, ...args], options)
}

/** The `spillway` command, run to its end. */
export async function runCli(args: readonly string[], options: Parameters<typeof startNode>[1] = {}): Promise<RunningProcess & Ended> {
  const running = startCli(args, options)
  return Object.assign(running, await running.ended)
}
