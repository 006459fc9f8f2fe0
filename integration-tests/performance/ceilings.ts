/**
 * The most that a job may cost, on any machine. The tests of this folder measure it. Each ceiling is what the build costs,
 * with a little room for the batches of a busy machine. A change that makes jobs cheaper lowers it.
 */
export const ceilings = {
  /** Bytes of WAL on PostgreSQL for a job with a payload of 200 bytes, from its dispatch to its end. */
  walBytes: 1_300,
  /** Insertions into indexes. */
  indexEntries: 4.2,
  /** The same for a job that waits behind others of one of a hundred keys. */
  walBytesOfKeys: 2_500,
  indexEntriesOfKeys: 11,
  /** Bytes on disk of a finished job: tables and indexes. */
  diskBytes: 900,
  /** Statements for each of many jobs with one ordering key, those that tell followers included. */
  statementsOfHotKey: 2,
  /** Commits of an idle worker with 100 queues on PostgreSQL, per second.. */
  idleCommits: 5,
  /** What 10,000 schedules cost an idle fleet beside its sweeps: statements per second. */
  idleSchedules: 1,
  /** Requests to SQS for a job, from the dispatch to the end. */
  requests: 0.06,
  /** The same for a worker with one slot and jobs of 0.6 s. */
  requestsOfSlowJobs: 1.5,
  /** Requests of an idle worker with 20 queues on SQS, per second: eight polls of 20 s at a time. */
  idleRequests: 0.5,
} as const
