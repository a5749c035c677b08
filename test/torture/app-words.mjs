/**
 * What an application of the torture says about itself on stdout.
 *
 * @typedef {object} Tell Said every {@link tellEveryMs}.
 * @property {number} made Log calls of all its apps.
 * @property {number} shed Records its agents gave up.
 * @property {number} gapMs Longest time since the last tell between two turns of the event loop that should be 5 ms apart.
 * @property {number} callsMs Longest time since the last tell that the log calls of one turn took together.
 *
 * @typedef {object} Truth Said once, at the end, for each app: what it logged, by its own count.
 * @property {string} app
 * @property {number} made
 * @property {Partial<Record<import('./made-line.mjs').Level, number>>} byLevel
 * @property {Readonly<Record<string, number>>} shed What its agent says it gave up, by reason.
 * @property {number} evictedSent Records its agent had sent and let go before an answer came: received, unless the connection broke.
 * @property {number} left Records without an answer when it closed.
 */
export const tellEveryMs = 100
