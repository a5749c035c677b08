/** Bundles the page into dist/web: index.html, and assets named after their contents. Part of `npm run build`. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const source = fileURLToPath(new URL('.', import.meta.url))
const root = join(source, '../..')
const target = join(root, 'dist/web')

rmSync(target, { recursive: true, force: true })
mkdirSync(target, { recursive: true })
const { metafile } = await build({
  absWorkingDir: root,
  entryPoints: { page: join(source, 'main.tsx') },
  outdir: join(target, 'assets'),
  entryNames: '[name]-[hash]',
  bundle: true,
  minify: true,
  format: 'esm',
  target: ['es2022', 'chrome109', 'firefox115', 'safari16.4'],
  jsx: 'automatic',
  jsxImportSource: 'preact',
  legalComments: 'none',
  metafile: true,
})

const names = Object.keys(metafile.outputs).map((path) => basename(path))
const named = (/** @type {string} */ extension) => {
  const name = names.find((each) => each.endsWith(extension))
  if (name === undefined) throw new Error(`the bundle has no ${extension} file: ${names.join(', ')}`)
  return name
}
const html = readFileSync(join(source, 'index.html'), 'utf8')
  .replace('main.tsx', `/assets/${named('.js')}`)
  .replace('style.css', `/assets/${named('.css')}`)
writeFileSync(join(target, 'index.html'), html)

// What is bundled brings its licence along.
const licences = ['preact', 'uplot'].map((name) => `${name}\n\n${readFileSync(join(root, 'node_modules', name, 'LICENSE'), 'utf8')}`)
writeFileSync(join(target, 'LICENSES.txt'), licences.join('\n\n'))
