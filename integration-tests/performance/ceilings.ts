/**
 * What a job may cost at most, on any machine; the tests of this folder measure it. Each ceiling is what the build costs and a
 * little more for the batches that a busy machine makes. A change that makes jobs cheaper lowers it.
 */
export const ceilings = {
  /** On PostgreSQL, of a job with a payload of 200 bytes, from its dispatch to its end. To become 1,300. */
  walBytes: 1_450,
  /** Insertions into indexes. To become 5. */
  indexEntries: 5.3,
  /** Bytes on disk of a finished job: tables and indexes. To become 900. */
  diskBytes: 1_040,
  /** Of jobs with one ordering key. To become 2. */
  statementsOfHotKey: 6,
  /** Of an idle worker with 100 queues on PostgreSQL, per second. To become 5. */
  idleCommits: 75,
  /** To SQS, from the dispatch to the end. */
  requests: 0.06,
  /** Of an idle worker with 20 queues on SQS, per second. To become 0.5. */
  idleRequests: 4.6,
} as const
