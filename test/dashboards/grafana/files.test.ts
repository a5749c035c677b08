/** The files in `dashboards/grafana/` are those the sources next to them make. `npm run grafana` writes them. */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { grafanaFiles } from '../../../dashboards/grafana/files.ts'
import { root } from '../../support/processes.ts'

const folder = join(root, 'dashboards/grafana')
const files = grafanaFiles()

test.each([...files])('%s is as its sources make it', async (path, text) => {
  await expect(text).toMatchFileSnapshot(join(folder, path))
})

test('there are no files beside these', () => {
  const there = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => /\.(json|yml)$/.test(name))
  expect(there.toSorted()).toEqual([...files.keys()].toSorted())
})
