#!/bin/sh
# @aws-sdk/client-sqs 3.1169.0: destroy() while a request is under way sends the request once more.
#
# destroy() closes the sockets. A long poll that waits for its answer takes that for a lost connection, which the client
# repeats: a second ReceiveMessage is sent by a client that was destroyed. A message that it receives is hidden for its whole
# visibility timeout, and where the process ends on destroy(), nobody gets it before. Abort the request first: then nothing
# is sent again.
#
# Needs no server: the script answers the requests itself.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund @aws-sdk/client-sqs@3.1169.0
cat >try.mjs <<'SCRIPT'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { ReceiveMessageCommand, SQSClient } from '@aws-sdk/client-sqs'

// A long poll of an empty queue: no answer yet.
let polls = 0
const arrived = new EventTarget()
const server = createServer(() => {
  polls += 1
  arrived.dispatchEvent(new Event('poll'))
}).listen(0, '127.0.0.1')
await once(server, 'listening')
const endpoint = `http://127.0.0.1:${server.address().port}`

/** How many polls the server has seen half a second after the end of a client that had one under way. */
async function pollsAfter(end) {
  polls = 0
  const client = new SQSClient({
    region: 'eu-west-1',
    endpoint,
    credentials: { accessKeyId: 'a', secretAccessKey: 'b' },
  })
  const abort = new AbortController()
  const poll = new ReceiveMessageCommand({ QueueUrl: `${endpoint}/1/queue`, WaitTimeSeconds: 20 })
  const first = once(arrived, 'poll')
  client.send(poll, { abortSignal: abort.signal }).catch(() => {})
  await first
  end(client, abort)
  await new Promise((resolve) => setTimeout(resolve, 500))
  abort.abort()
  return polls
}

const destroyed = await pollsAfter((client) => client.destroy())
const aborted = await pollsAfter((client, abort) => {
  abort.abort()
  client.destroy()
})
console.log(`polls after destroy(): ${destroyed}; after abort and destroy(): ${aborted}`)
server.closeAllConnections()
server.close()
const asSeen = destroyed === 2 && aborted === 1
console.log(asSeen ? 'as it was found' : 'IT HAS CHANGED')
process.exit(asSeen ? 0 : 1)
SCRIPT
node try.mjs
