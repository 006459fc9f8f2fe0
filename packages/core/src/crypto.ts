import type nodeCrypto from 'node:crypto'

let loaded: typeof nodeCrypto | undefined

/** Node's own module, loaded on first use: few commands of the command line need it, and its import is felt in their start. */
export function crypto(): typeof nodeCrypto {
  loaded ??= process.getBuiltinModule('node:crypto')
  return loaded
}
