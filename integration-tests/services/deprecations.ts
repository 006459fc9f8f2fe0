const refused = '--throw-deprecation'

/** Options of Vitest: a deprecation is an error in the tests, and in every process that they start. */
export const refusedDeprecations = { execArgv: [refused], env: { NODE_OPTIONS: refused } }
