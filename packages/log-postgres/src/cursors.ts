import { ErrandError } from '@errand/core/ports'
import type { Cursor } from '@errand/core/ports'

/**
 * A position in the log: (transaction, sequence, place), compared in this order: one row tells the event of several jobs,
 * and each has its place in it. `seen` is set where following begins "from
 * now": the snapshot of that moment, because transactions that were open then have lower numbers than some that were not.
 */
export interface Position {
  readonly epoch: number
  readonly tx: bigint
  readonly seq: bigint
  /** In the row, from 1; undefined: behind all that are in it, as a cursor without a place means it. */
  readonly place: number | undefined
  /** How much the server had written when this was read. Everything seen by then is before that place. */
  readonly written: bigint
  readonly seen: string | undefined
}

const pattern = /^(\d{1,9})\.(\d{1,20})\.(\d{1,19})(?:-(\d{1,9}))?\.(\d{1,20})(?:\.(\d+:\d+:[\d,]*))?$/

export function toCursor({ epoch, tx, seq, place, written, seen }: Position): Cursor {
  // After the snapshot's end, nothing was visible in it.
  const still = seen !== undefined && tx < BigInt(seen.split(':')[1] ?? '0')
  return `${epoch}.${tx}.${seq}${place === undefined ? '' : `-${place}`}.${written}${still ? `.${seen}` : ''}`
}

/** @throws `E_CURSOR` */
export function parsePosition(cursor: Cursor): Position {
  const match = pattern.exec(cursor)
  if (!match) throw new ErrandError('E_CURSOR', `${JSON.stringify(cursor)} is not a cursor of this log`)
  const [, epoch, tx, seq, place, written, seen] = match
  return {
    epoch: Number(epoch),
    tx: BigInt(tx!),
    seq: BigInt(seq!),
    place: place === undefined ? undefined : Number(place),
    written: BigInt(written!),
    seen,
  }
}
