// Saves or restores one path with GitHub's own client: node official_cache.mjs NODE_MODULES save|restore|version KEY PATH
// The last line of its output is what the client returned.
const [modules, verb, key, path] = process.argv.slice(2)
const library = `${modules}/@actions/cache/lib`

async function run() {
  if (verb === 'version') {
    const utils = await import(`${library}/internal/cacheUtils.js`)
    return utils.getCacheVersion([path], await utils.getCompressionMethod(), false)
  }
  const cache = await import(`${library}/cache.js`)
  return verb === 'save' ? await cache.saveCache([path], key) : await cache.restoreCache([path], key, [])
}

console.log(`\n${JSON.stringify((await run()) ?? null)}`)
