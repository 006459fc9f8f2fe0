import { createHash } from 'node:crypto'
import { idBeside } from '../../ids.ts'

/** The id of what a handler calls by a name. It is the same in every run, so it is made once. */
export function calledId(caller: string, idempotencyKey: string, name: string): string {
  const text = JSON.stringify([idempotencyKey, 'call', name])
  return idBeside(caller, createHash('sha256').update(text).digest())
}
