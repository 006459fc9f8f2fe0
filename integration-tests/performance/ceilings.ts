/**
 * The most that a job may cost, on any machine. The tests of this folder measure it. Each ceiling is what the build costs,
 * with a little room for the batches of a busy machine. A change that makes jobs cheaper lowers it.
 */
export const ceilings = {
  /** Bytes of WAL on PostgreSQL for a job with a payload of 200 bytes, from its dispatch to its end. To become 1,300. */
  walBytes: 1_450,
  /** Insertions into indexes. To become 5. */
  indexEntries: 5.3,
  /** Bytes on disk of a finished job: tables and indexes. To become 900. */
  diskBytes: 1_040,
  /** Statements for each of many jobs with one ordering key. To become 2. */
  statementsOfHotKey: 6,
  /** Commits of an idle worker with 100 queues on PostgreSQL, per second. To become 5. */
  idleCommits: 75,
  /** Requests to SQS for a job, from the dispatch to the end. */
  requests: 0.06,
  /** Requests of an idle worker with 20 queues on SQS, per second. To become 0.5. */
  idleRequests: 4.6,
} as const
