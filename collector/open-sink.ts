import { compilePatterns } from '../wire/pattern.ts'
import type { FileSinkConfig, SinkConfig } from './config.ts'
import { threadsTrouble } from './disk-threads.ts'
import { Compressor } from './sinks/compressor.ts'
import { FileSink } from './sinks/file-sink.ts'
import { InfluxSink } from './sinks/influx/influx-sink.ts'
import { LogPath } from './sinks/log-path.ts'
import type { KeepingSink, Sink } from './sinks/sink.ts'
import { StdoutSink } from './sinks/stdout-sink.ts'

/** Makes the sinks a checked configuration describes: those that keep what they are given, and those that pass it on. */
export function openSinks(
  configs: Readonly<Record<string, SinkConfig>>,
  onTrouble: (message: string) => void,
): { readonly keeping: readonly KeepingSink[]; readonly passing: readonly Sink[]; readonly compressors: ReadonlyMap<string, Compressor> } {
  const keeping: KeepingSink[] = []
  const passing: Sink[] = []
  const paths = logPaths(configs)
  const compressors = new Map<string, Compressor>()
  for (const [name, config] of Object.entries(configs)) {
    const { topics, onDemand: takesOnDemand } = config
    const patterns = compilePatterns(topics)
    switch (config.type) {
      case 'file': {
        const { rotateBytes, compress, keep } = config
        const path = paths.get(name) ?? logPath(config, [])
        const compressor = new Compressor()
        compressors.set(name, compressor)
        keeping.push(new FileSink({ name, topics, patterns, takesOnDemand, path, rotateBytes, compress, keep, compressor, onTrouble }))
        break
      }
      case 'influxdb':
        keeping.push(new InfluxSink({ name, patterns, config, onTrouble }))
        break
      case 'stdout':
        passing.push(new StdoutSink({ name, topics, patterns, takesOnDemand }, process.stdout))
    }
  }
  const trouble = threadsTrouble(paths.size, process.env['UV_THREADPOOL_SIZE'])
  if (trouble !== undefined) onTrouble(trouble)
  return { keeping, passing, compressors }
}

/** Paths of the sinks, each giving way to those that are more its own. */
function logPaths(configs: Readonly<Record<string, SinkConfig>>): ReadonlyMap<string, LogPath> {
  const files = Object.entries(configs).flatMap(([name, config]) => (config.type === 'file' ? [{ name, config }] : []))
  files.sort((a, b) => logPath(b.config, []).rank - logPath(a.config, []).rank || 0)
  const paths = new Map<string, LogPath>()
  for (const { name, config } of files) paths.set(name, logPath(config, [...paths.values()]))
  return paths
}

function logPath({ path, rotateEvery, zone }: FileSinkConfig, before: readonly LogPath[]): LogPath {
  return new LogPath(path, { every: rotateEvery, zone, before })
}
