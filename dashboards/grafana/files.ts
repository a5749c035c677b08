/** What is in `dashboards/grafana/` for Grafana and Prometheus to read. `npm run grafana` writes it. */
import { alertFiles } from './alerts.ts'
import { applicationDashboards } from './application-dashboards.ts'
import { collectorDashboard } from './collector-dashboard.ts'
import { sources } from './sources.ts'

/** The text of every file, by its path in the folder. */
export function grafanaFiles(): ReadonlyMap<string, string> {
  const files = new Map<string, string>()
  for (const source of sources) {
    const boards = [...applicationDashboards(source)]
    if (source.name === 'prometheus') boards.push(['collector', collectorDashboard(source)])
    for (const [name, board] of boards) files.set(`${source.name}/${name}.json`, `${JSON.stringify(board, null, 2)}\n`)
  }
  for (const [path, text] of alertFiles()) files.set(path, text)
  return files
}
