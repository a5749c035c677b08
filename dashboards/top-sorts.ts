/** What `spillway top` can sort by. A file of its own, so that reading a command line loads nothing else. */
export const topSorts = ['rate', 'errors', 'lost', 'name'] as const
export type TopSort = (typeof topSorts)[number]
