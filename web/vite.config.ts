// Build one HTML file whose content policy names its script and style by their hashes.
import { createHash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { defineConfig, type Plugin } from 'vite'
import { viteSingleFile } from 'vite-plugin-singlefile'

const hash = (text: string): string => `'sha256-${createHash('sha256').update(text, 'utf8').digest('base64')}'`

/** Fill in the policy: no request, no script but ours, no style but ours. */
function policy(): Plugin {
  let folder = ''
  return {
    name: 'photic-policy',
    configResolved(config) {
      folder = config.build.outDir
    },
    closeBundle() {
      const file = resolve(folder, 'index.html')
      const text = readFileSync(file, 'utf8').replaceAll(/\r\n/g, '\n')
      const inside = (pattern: RegExp): string[] => [...text.matchAll(pattern)].map((found) => hash(found[1] ?? ''))
      const scripts = inside(/<script type="module"[^>]*>([\s\S]*?)<\/script>/g)
      const styles = inside(/<style[^>]*>([\s\S]*?)<\/style>/g)
      if (scripts.length !== 1 || styles.length !== 1) throw new Error('expected one script and one style in the page')
      const rules = [
        "default-src 'none'",
        `script-src ${scripts.join(' ')}`,
        `style-src ${styles.join(' ')}`,
        "connect-src 'none'",
        "base-uri 'none'",
        "form-action 'none'",
      ]
      writeFileSync(file, text.replace('@policy@', rules.join('; ')))
    },
  }
}

/** What is cited by a key, from references.bib: the first author, the year and the title. */
function sources(): Record<string, string> {
  const text = readFileSync(resolve(import.meta.dirname, '../references.bib'), 'utf8')
  const found: Record<string, string> = {}
  for (const entry of text.split(/^(?=@)/m).slice(1)) {
    const field = (name: string): string => (entry.match(new RegExp(`\\b${name}\\s*=\\s*\\{((?:[^{}]|\\{[^{}]*\\})*)\\}`))?.[1] ?? '').replaceAll(/[{}\\]/g, '').replaceAll(/\s+/g, ' ')
    const authors = field('author').split(' and ').map((name) => (name.includes(',') ? name.split(',')[0] : name.split(' ').at(-1)) ?? '')
    const who = authors.length > 2 ? `${authors[0]} et al.` : authors.join(' and ')
    const key = entry.match(/@\w+\{(\w+),/)?.[1]
    if (key !== undefined) found[key] = `${who} ${field('year')}, ${field('title')}`
  }
  return found
}

export default defineConfig({
  define: { SOURCES: JSON.stringify(sources()) },
  plugins: [viteSingleFile({ removeViteModuleLoader: true }), policy()],
  build: { outDir: 'dist', modulePreload: false, target: 'es2022', reportCompressedSize: false },
  logLevel: 'warn',
})
