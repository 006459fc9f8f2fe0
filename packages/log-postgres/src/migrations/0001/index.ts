import type { Migration } from '../migration.ts'
import { append } from './append.ts'
import { appendAlike } from './append-alike.ts'
import { beat } from './beat.ts'
import { bounds } from './bounds.ts'
import { granting } from './grant.ts'
import { keys } from './keys.ts'
import { operate } from './operate.ts'
import { partitions } from './partitions.ts'
import { prune } from './prune.ts'
import { settle } from './settle.ts'
import { setAside } from './set-aside.ts'
import { settleSucceeded } from './settle-succeeded.ts'
import { sweepMoves } from './sweep-moves.ts'
import { sweep } from './sweep.ts'
import { tables } from './tables.ts'
import { timeline } from './timeline.ts'
import { unique } from './unique.ts'

/** Tables and functions of the first version. */
export const migration0001: Migration = {
  version: 1,
  name: 'the job log',
  oldestCode: 1,
  sql: (s) =>
    [
      tables,
      timeline,
      bounds,
      partitions,
      keys,
      unique,
      append,
      appendAlike,
      granting,
      settle,
      settleSucceeded,
      beat,
      sweep,
      sweepMoves,
      setAside,
      operate,
      prune,
    ]
      .map((part) => part(s))
      .concat(`select ${s}.ensure_partitions(14);`)
      .join('\n'),
}
