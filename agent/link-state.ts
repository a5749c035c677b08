/** connecting: never connected yet; lost: it was; closed: by `close()`. */
export type LinkState = 'connecting' | 'connected' | 'lost' | 'closed'
