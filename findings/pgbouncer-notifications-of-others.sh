#!/bin/sh
# PgBouncer 1.18.0 and 1.26.1, transaction mode: LISTEN succeeds, and its notifications reach clients that never listened.
#
# That a client which listens hears nothing in this mode is documented. What is not: the LISTEN stays on the server's
# connection, for as long as that lives, since no DISCARD is sent in this mode. Whichever client runs a transaction on that
# connection when a notification comes, or next, is handed it, with its payload: another application, of another team. A
# client that takes every notification for its own acts on it.
#
# Needs PostgreSQL: POSTGRES_URL, by default postgres://postgres@127.0.0.1:5432/postgres, and PgBouncer: the path PGBOUNCER, or
# as installed, or of Debian's package, which is unpacked into a temporary folder.
set -eu
folder=$(mktemp -d)
pooler=
trap 'if [ -n "$pooler" ]; then kill -9 "$pooler" 2>/dev/null || true; fi; rm -rf "$folder"' EXIT
chmod 755 "$folder"
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund pg@8.23.0
program=${PGBOUNCER:-$(command -v pgbouncer || true)}
if [ -z "$program" ]; then
  mkdir -p archives/partial
  apt-get -qq -y --download-only -o Debug::NoLocking=1 -o Dir::Cache::archives="$folder/archives/" install pgbouncer
  for archive in archives/*.deb; do dpkg-deb -x "$archive" .; done
  program=$folder/usr/sbin/pgbouncer
  LD_LIBRARY_PATH=$(echo "$folder"/usr/lib/*-linux-gnu)
  export LD_LIBRARY_PATH
fi
"$program" --version | head -n 1

cat >configure.mjs <<'SCRIPT'
import { writeFileSync } from 'node:fs'
const url = new URL(process.env.POSTGRES_URL ?? 'postgres://postgres@127.0.0.1:5432/postgres')
const password = url.password === '' ? '' : ` password=${decodeURIComponent(url.password)}`
writeFileSync(
  'pgbouncer.ini',
  `[databases]
* = host=${url.hostname} port=${url.port || 5432} user=${url.username}${password}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = 16432
unix_socket_dir =
auth_type = any
pool_mode = transaction
${process.getuid() === 0 ? 'user = nobody' : ''}
`,
)
SCRIPT
node configure.mjs
"$program" -q pgbouncer.ini 2>pgbouncer.log &
pooler=$!

cat >try.mjs <<'SCRIPT'
import pg from 'pg'

const direct = new URL(process.env.POSTGRES_URL ?? 'postgres://postgres@127.0.0.1:5432/postgres')
const pooled = new URL(direct)
Object.assign(pooled, { hostname: '127.0.0.1', port: '16432', password: '' })

async function connect(url) {
  for (let tries = 1; ; tries += 1) {
    const client = new pg.Client(url.href)
    const error = await client.connect().then(() => undefined, (thrown) => thrown)
    if (error === undefined) return client
    if (tries === 100) throw error
    await pause(50)
  }
}
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

const [listener, other, notifier] = [await connect(pooled), await connect(pooled), await connect(direct)]
const heard = { listener: [], other: [] }
listener.on('notification', ({ channel, payload }) => heard.listener.push(`${channel}: ${payload}`))
other.on('notification', ({ channel, payload }) => heard.other.push(`${channel}: ${payload}`))

await listener.query('listen of_one_application')
// A transaction of somebody who has never listened.
await other.query('begin')
await other.query('select 1')
await notifier.query(`notify of_one_application, 'for its own eyes'`)
await pause(500)
await other.query('commit')
await pause(500)
const { rows } = await other.query('select pg_listening_channels() as channel')
console.log('the client that listened heard:', heard.listener)
console.log('the client that did not heard:', heard.other)
console.log('its session listens to:', rows.map(({ channel }) => channel))
for (const client of [listener, other, notifier]) await client.end()

const asSeen = heard.listener.length === 0 && heard.other.join() === 'of_one_application: for its own eyes'
console.log(asSeen ? 'as it was found' : 'IT HAS CHANGED')
process.exit(asSeen ? 0 : 1)
SCRIPT
node try.mjs
