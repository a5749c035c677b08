import { compilePatterns } from '../wire/pattern.ts'
import type { SinkConfig } from './config.ts'
import { FileSink } from './sinks/file-sink.ts'
import { InfluxSink } from './sinks/influx/influx-sink.ts'
import { LogPath } from './sinks/log-path.ts'
import type { KeepingSink, Sink } from './sinks/sink.ts'
import { StdoutSink } from './sinks/stdout-sink.ts'

/** Makes the sinks a checked configuration describes: those that keep what they are given, and those that pass it on. */
export function openSinks(
  configs: Readonly<Record<string, SinkConfig>>,
  onTrouble: (message: string) => void,
): { readonly keeping: readonly KeepingSink[]; readonly passing: readonly Sink[] } {
  const keeping: KeepingSink[] = []
  const passing: Sink[] = []
  for (const [name, config] of Object.entries(configs)) {
    const { topics, onDemand: takesOnDemand } = config
    const patterns = compilePatterns(topics)
    switch (config.type) {
      case 'file': {
        const { rotateBytes } = config
        keeping.push(new FileSink({ name, topics, patterns, takesOnDemand, path: new LogPath(config.path), rotateBytes, onTrouble }))
        break
      }
      case 'influxdb':
        keeping.push(new InfluxSink({ name, patterns, config, onTrouble }))
        break
      case 'stdout':
        passing.push(new StdoutSink({ name, topics, patterns, takesOnDemand }, process.stdout))
    }
  }
  return { keeping, passing }
}
