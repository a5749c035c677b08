import { setTimeout as sleep } from 'node:timers/promises'

/** Waits for a condition, never for a duration; the timeout only bounds a failure. Returns what the condition gave. */
export async function until<T>(
  condition: () => T | Promise<T>,
  options: { readonly what: string; readonly timeoutMs?: number; readonly everyMs?: number },
): Promise<Exclude<T, false | undefined | null>> {
  const endsAtMs = performance.now() + (options.timeoutMs ?? 20_000)
  for (;;) {
    const value = await condition()
    if (value !== false && value !== undefined && value !== null) return value as Exclude<T, false | undefined | null>
    if (performance.now() > endsAtMs) throw new Error(`timed out waiting until ${options.what}`)
    await sleep(options.everyMs ?? 10)
  }
}
