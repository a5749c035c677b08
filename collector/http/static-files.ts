/**
 * The page and its assets, as the build left them: read into memory once, so that a path never reaches the disk.
 * `index.html` is `/`; everything else is under `/assets/`, named after its contents, and never changes.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { send } from './answer.ts'
import type { Call, Route } from './route.ts'

/** Beside the compiled sources: `dist/web`. */
const webDir: string = fileURLToPath(new URL('../../web/', import.meta.url))

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
  '.json': 'application/json',
  '.webmanifest': 'application/manifest+json',
  '.map': 'application/json',
  '.png': 'image/png',
  '.ico': 'image/x-icon',
  '.woff2': 'font/woff2',
}

const packed = new Set(['.png', '.ico', '.woff2'])
const immutable = 'public, max-age=31536000, immutable'

/** @returns No routes when nothing was built. */
export function staticRoutes(dir: string = webDir): Route[] {
  let names: string[]
  try {
    names = readdirSync(join(dir, 'assets'))
  } catch {
    names = []
  }
  const routes = names.flatMap((name) => fileRoute(`/assets/${name}`, join(dir, 'assets', name), immutable))
  return [...fileRoute('/', join(dir, 'index.html'), 'no-cache'), ...routes]
}

function fileRoute(path: string, file: string, cacheControl: string): Route[] {
  const extension = extname(file)
  const type = types[extension]
  let body: Buffer
  try {
    body = readFileSync(file)
  } catch {
    return []
  }
  if (type === undefined) return []
  const isText = !packed.has(extension)
  const gzipped = isText ? gzipSync(body, { level: 9 }) : undefined
  const headers = { 'cache-control': cacheControl, ...(isText ? { vary: 'accept-encoding' } : {}) }
  const contentType = isText ? `${type}; charset=utf-8` : type
  const answer = ({ request, response }: Call) => {
    const takesGzip = gzipped !== undefined && /\bgzip\b/.test(String(request.headers['accept-encoding'] ?? ''))
    if (takesGzip) send(response, 200, contentType, gzipped, { ...headers, 'content-encoding': 'gzip' })
    else send(response, 200, contentType, body, headers)
  }
  return [{ method: 'GET', path, isOpen: true, isPage: path === '/', answer }]
}
