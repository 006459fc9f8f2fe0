const refused = '--throw-deprecation'

/** Vitest's options: what is deprecated is an error in the tests, and in every process that they start. */
export const refusedDeprecations = { execArgv: [refused], env: { NODE_OPTIONS: refused } }
