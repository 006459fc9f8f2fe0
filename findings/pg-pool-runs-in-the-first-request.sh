#!/bin/sh
# pg 8.23.0 and its pool: what happens to an idle connection happens in the request that opened it.
#
# A web server runs each request in an AsyncLocalStorage, and shares a pool. A connection's socket keeps the context in which it
# was made. When the connection is lost an hour later, the pool's `error` event runs with the context of the request that
# needed a connection first: a logger that adds the request's id or user blames somebody who left long ago. And that context
# is never collected while the connection lives, though later requests use it, too.
#
# Needs PostgreSQL: POSTGRES_URL, by default postgres://postgres@127.0.0.1:5432/postgres. Seen on Node 20 and 24.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund pg@8.23.0
cat >try.mjs <<'SCRIPT'
import { AsyncLocalStorage } from 'node:async_hooks'
import { once } from 'node:events'
import pg from 'pg'

const connectionString = process.env.POSTGRES_URL ?? 'postgres://postgres@127.0.0.1:5432/postgres'
const request = new AsyncLocalStorage()
const pool = new pg.Pool({ connectionString, max: 1, idleTimeoutMillis: 0 })
let blamed
pool.on('error', () => (blamed = request.getStore()?.user))

/** What a request does, and what is left of its context. */
async function handle(user) {
  const context = { user }
  const pid = await request.run(context, async () => {
    const { rows } = await pool.query('select pg_backend_pid() as pid')
    return rows[0].pid
  })
  return { pid, context: new WeakRef(context) }
}

const requests = {}
for (const user of ['ada', 'bob', 'eve']) requests[user] = await handle(user)
for (let n = 0; n < 20; n += 1) {
  await new Promise((resolve) => setTimeout(resolve, 10))
  globalThis.gc()
}
const kept = Object.keys(requests).filter((user) => requests[user].context.deref() !== undefined)
console.log('contexts that live on while the pool is idle:', kept)

const lost = once(pool, 'error')
const other = new pg.Client({ connectionString })
await other.connect()
await other.query('select pg_terminate_backend($1)', [requests.ada.pid])
await lost
await other.end()
await pool.end()
console.log('the loss of the idle connection happened in the request of:', blamed)
const asSeen = blamed === 'ada' && kept.includes('ada')
console.log(asSeen ? 'as it was found' : 'IT HAS CHANGED')
process.exit(asSeen ? 0 : 1)
SCRIPT
node --expose-gc try.mjs
