import { compilePatterns } from '../wire/pattern.ts'
import type { SinkConfig } from './config.ts'
import { FileSink } from './sinks/file-sink.ts'
import { LogPath } from './sinks/log-path.ts'
import type { Sink } from './sinks/sink.ts'
import { StdoutSink } from './sinks/stdout-sink.ts'

/** Makes the sink a checked configuration describes. */
export function openSink(name: string, config: SinkConfig, onTrouble: (message: string) => void): Sink {
  const patterns = compilePatterns(config.topics)
  switch (config.type) {
    case 'file':
      return new FileSink({
        name,
        topics: config.topics,
        patterns,
        path: new LogPath(config.path),
        rotateBytes: config.rotateBytes,
        onTrouble,
      })
    case 'stdout':
      return new StdoutSink({ name, topics: config.topics, patterns }, process.stdout)
  }
}
