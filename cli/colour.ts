/**
 * Whether standard output is to be coloured, as https://no-color.org and Node's own `FORCE_COLOR` say: a flag wins over
 * `FORCE_COLOR`, that over `NO_COLOR`, and only then is the terminal asked.
 */
export function wantsColour(flag: boolean): boolean {
  const { FORCE_COLOR, NO_COLOR } = process.env
  if (!flag) return false
  if (FORCE_COLOR !== undefined) return FORCE_COLOR !== '0' && FORCE_COLOR !== 'false'
  if (NO_COLOR !== undefined && NO_COLOR !== '') return false
  // An empty NO_COLOR says nothing; Node 20 takes it for a word.
  const { NO_COLOR: _empty, ...env } = process.env
  return process.stdout.isTTY === true && process.stdout.hasColors(env)
}
