/**
 * Places where a crash would hurt most. Here they do nothing; tests that kill a collector exactly there import this
 * module before it runs and take the place of `reached`.
 */
export type CrashPoint =
  | 'after-append'
  | 'before-fsync'
  | 'after-fsync'
  | 'in-roll'
  | 'in-reuse'
  | 'before-checkpoint'
  | 'in-rotation'
  | 'after-seal'
  | 'in-link'
  | 'before-compression'
  | 'before-compressed'
  | 'in-compressed'
  | 'before-removal'
  | 'before-unlink'
  | 'before-cursor'

export const crashPoints: { reached: (point: CrashPoint) => void } = {
  reached() {},
}
