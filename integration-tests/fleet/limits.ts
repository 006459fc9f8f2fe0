/** The lease of the fleet's workers. */
export const leaseMs = 3_000
/** How soon the jobs of a worker that was killed run again. */
export const afterCrashMs: number = leaseMs + 5_000
/** How soon work goes on after a broker or a database has come back. */
export const afterReturnMs = 10_000
