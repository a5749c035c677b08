/** The six levels of a topic, least important first. Their order is the order in which records are shed. */
export const levels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const

export type Level = (typeof levels)[number]

/** Place of a level in {@link levels}: 0 is trace, 5 is fatal. */
export type Rank = 0 | 1 | 2 | 3 | 4 | 5

export const infoRank: Rank = 2
export const errorRank: Rank = 4

/** pino's number for each level. */
export const levelNumbers: Readonly<Record<Level, number>> = { trace: 10, debug: 20, info: 30, warn: 40, error: 50, fatal: 60 }

/** A level number, custom ones included, to the nearest standard level at or below it; below trace is trace. */
export function rankOfNumber(level: number): Rank {
  if (level < 30) return level < 20 ? 0 : 1
  if (level < 50) return level < 40 ? 2 : 3
  return level < 60 ? 4 : 5
}

/** A level's name in any letter case, or undefined when it is none of the six. */
export function rankOfName(name: string): Rank | undefined {
  const index = levels.indexOf(name.toLowerCase() as Level)
  return index === -1 ? undefined : (index as Rank)
}
