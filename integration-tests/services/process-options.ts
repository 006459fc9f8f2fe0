import { fileURLToPath } from 'node:url'

const refused = '--throw-deprecation'
/** Most of what a short process does is to load the sources: from here it finds them compiled, without their types. */
const compiled = fileURLToPath(new URL('../../node_modules/.cache/errand-tests/compiled', import.meta.url))

/** Options of Vitest: a deprecation is an error in the tests, and in every process that they start. */
export const processOptions = {
  execArgv: [refused],
  env: { NODE_OPTIONS: refused, NODE_COMPILE_CACHE: compiled },
}
