#!/bin/sh
# amqplib 2.3.1: a virtual host that the broker refuses is an error without the broker's code and text.
#
# The broker answers Connection.Open of a virtual host that does not exist with Connection.Close, reply code 530 and a text that
# names the virtual host. What connect() rejects with has neither: "Expected ConnectionOpenOk; got <ConnectionClose channel:0>".
# A password that is refused, one step earlier, is told with its 403. An application cannot tell a wrong name from a broker
# that speaks another protocol, unless it reads the text of that message.
#
# Needs RabbitMQ: AMQP_URL, by default amqp://guest:guest@127.0.0.1. Seen with 3.10.8 and 4.3.6.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund amqplib@2.3.1
cat >try.mjs <<'SCRIPT'
import { once } from 'node:events'
import { connect as dial, createServer } from 'node:net'
import amqp from 'amqplib'

const url = new URL(process.env.AMQP_URL ?? 'amqp://guest:guest@127.0.0.1')

// Between client and broker, to see what the broker says.
const fromBroker = []
const server = createServer((client) => {
  const broker = dial(Number(url.port || 5672), url.hostname)
  client.pipe(broker).pipe(client)
  broker.on('data', (chunk) => fromBroker.push(chunk))
  for (const socket of [client, broker]) socket.on('error', () => {})
}).listen(0, '127.0.0.1')
await once(server, 'listening')

async function refused(change) {
  fromBroker.length = 0
  const at = new URL(url)
  at.host = `127.0.0.1:${server.address().port}`
  change(at)
  const error = await amqp.connect(at.href).then(() => undefined, (thrown) => thrown)
  const bytes = Buffer.concat(fromBroker)
  // Connection.Close is class 10, method 50: then come the code, and a text with its length before it.
  const close = bytes.indexOf(Buffer.from([0, 10, 0, 50]))
  const code = close < 0 ? undefined : bytes.readUInt16BE(close + 4)
  const text = close < 0 ? '' : bytes.subarray(close + 7, close + 7 + bytes[close + 6]).toString()
  return { error, code, text }
}

const vhost = await refused((at) => (at.pathname = '/no-such-vhost'))
console.log(`virtual host: the broker said ${vhost.code} ${vhost.text}`)
console.log(`              connect() said   ${vhost.error?.message}; code ${vhost.error?.code}`)
const password = await refused((at) => (at.password = 'wrong'))
console.log(`password:     the broker said ${password.code} ${password.text}`)
console.log(`              connect() said   ${password.error?.message}`)
server.close()

const asSeen =
  vhost.code === 530 &&
  vhost.text.includes('no-such-vhost') &&
  vhost.error?.message === 'Expected ConnectionOpenOk; got <ConnectionClose channel:0>' &&
  vhost.error.code === undefined &&
  /403/.test(password.error?.message)
console.log(asSeen ? 'as it was found' : 'IT HAS CHANGED')
process.exit(asSeen ? 0 : 1)
SCRIPT
node try.mjs
