import { ErrandError } from '@errand/core/ports'
import type { Cursor, Places } from '@errand/core/ports'

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

/** The same, with its numbers as they are read. */
type Written = Record<'tx' | 'seq' | 'written', bigint | string> & {
  readonly epoch: number
  readonly place: number | string | undefined
  readonly seen: string | undefined
}

export function toCursor({ epoch, tx, seq, place, written, seen }: Written): Cursor {
  // After the snapshot's end, nothing was visible in it.
  const still = seen !== undefined && BigInt(tx) < BigInt(seen.split(':')[1] ?? '0')
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

/** Transactions and sequences only grow, so cursors of one epoch can be compared. Their snapshots cannot. */
export const places: Places = {
  earliest(cursors) {
    const [first, ...others] = cursors.map(parsePosition)
    let earliest = first!
    for (const other of others) {
      checkEpochs(other, earliest)
      const [before, after] = compare(other, earliest) < 0 ? [other, earliest] : [earliest, other]
      // What only one of them leaves out must be read.
      const seen = before.seen === after.seen ? before.seen : undefined
      earliest = { ...before, seen, written: before.written > after.written ? before.written : after.written }
    }
    return toCursor(earliest)
  },
  isAfter(after, event) {
    const [from, to] = [parsePosition(after), parsePosition(event)]
    checkEpochs(from, to)
    return compare(to, from) > 0 && (from.seen === undefined || !isVisible(to.tx, from.seen))
  },
  advance(after, to) {
    const [from, position] = [parsePosition(after), parsePosition(to)]
    checkEpochs(from, position)
    return compare(position, from) > 0 ? toCursor({ ...position, seen: from.seen }) : after
  },
}

function checkEpochs(one: Position, other: Position): void {
  if (one.epoch !== other.epoch) throw new ErrandError('E_CURSOR', 'these cursors are of two epochs')
}

/** Negative if `one` is before the other. */
function compare(one: Position, other: Position): number {
  if (one.tx !== other.tx) return one.tx < other.tx ? -1 : 1
  if (one.seq !== other.seq) return one.seq < other.seq ? -1 : 1
  const place = one.place ?? Number.POSITIVE_INFINITY
  const otherPlace = other.place ?? Number.POSITIVE_INFINITY
  return place === otherPlace ? 0 : place - otherPlace
}

/** @param snapshot as PostgreSQL writes it: `xmin:xmax:in progress` */
function isVisible(tx: bigint, snapshot: string): boolean {
  const [from = '', to = '', open = ''] = snapshot.split(':')
  if (tx < BigInt(from)) return true
  return tx < BigInt(to) && !open.split(',').includes(String(tx))
}
