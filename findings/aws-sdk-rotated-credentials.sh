#!/bin/sh
# @aws-sdk/client-sqs 3.1169.0: a process reads the shared credentials file once. Credentials that were replaced there are never
# used, not even by a client that is made afterwards.
#
# Tools that write short-lived credentials into ~/.aws/credentials (aws_access_key_id, aws_secret_access_key and
# aws_session_token) replace them before they end. The file has no place for the time when they end, so the provider answers
# credentials without `expiration`, which a client never asks for again. A second client in the same process has a provider of
# its own and signs with the old key as well: the text of the file is cached for the whole process. After the old ones have
# ended, everything is refused until the process starts again. The option `ignoreCache: true` of a new client reads the file.
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
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { ListQueuesCommand, SQSClient } from '@aws-sdk/client-sqs'

const file = new URL('credentials', import.meta.url).pathname
for (const name of ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_SESSION_TOKEN', 'AWS_PROFILE'])
  delete process.env[name]
process.env.AWS_SHARED_CREDENTIALS_FILE = file
process.env.AWS_CONFIG_FILE = new URL('config', import.meta.url).pathname
process.env.AWS_EC2_METADATA_DISABLED = 'true'
const write = (key) =>
  writeFileSync(
    file,
    `[default]\naws_access_key_id = ${key}\naws_secret_access_key = secret\naws_session_token = token-of-${key}\n`,
  )

// Old credentials are refused, as STS would have them once they have ended.
const seen = []
const server = createServer((request, response) => {
  const key = /Credential=(\w+)/.exec(request.headers.authorization ?? '')?.[1]
  seen.push(key)
  const ok = key !== 'OLD' || !isOver
  response.writeHead(ok ? 200 : 403, { 'content-type': 'application/x-amz-json-1.0' })
  response.end(JSON.stringify(ok ? { QueueUrls: [] } : { __type: 'com.amazonaws.sqs#ExpiredTokenException' }))
}).listen(0, '127.0.0.1')
await once(server, 'listening')
let isOver = false

const newClient = (more = {}) =>
  new SQSClient({ region: 'eu-west-1', endpoint: `http://127.0.0.1:${server.address().port}`, ...more })
/** Which key the request was signed with, and what came of it. */
async function ask(client) {
  seen.length = 0
  const error = await client.send(new ListQueuesCommand({})).then(() => undefined, (thrown) => thrown)
  return `${seen[0]}: ${error === undefined ? 'accepted' : error.name}`
}

write('OLD')
const client = newClient()
const before = await ask(client)
const { expiration } = await client.config.credentials()
write('NEW')
isOver = true
const said = {
  'before the file was replaced': before,
  'the same client, afterwards': await ask(client),
  'the same client, once more': await ask(client),
  'a client made afterwards': await ask(newClient()),
  'a client made with ignoreCache': await ask(newClient({ ignoreCache: true })),
}
for (const [what, how] of Object.entries(said)) console.log(`${what}: ${how}`)
console.log(`expiration: ${expiration}`)
server.closeAllConnections()
server.close()
const expected = ['OLD: accepted', ...Array(3).fill('OLD: ExpiredTokenException'), 'NEW: accepted']
const asSeen = expiration === undefined && JSON.stringify(Object.values(said)) === JSON.stringify(expected)
console.log(asSeen ? 'as it was found' : 'IT HAS CHANGED')
process.exit(asSeen ? 0 : 1)
SCRIPT
node try.mjs
