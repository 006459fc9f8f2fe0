#!/bin/sh
# BullMQ 6.7.0 with its cron-parser 5.10.3: for an hour of each year, "every hour" is "as often as you can".
#
# Lord Howe Island sets its clocks by half an hour. In the hour before they go back, cron-parser cannot tell the next time of
# "every hour" (see cron-parser-half-an-hour.sh). BullMQ takes a next time that it cannot have for "now": a job scheduler with
# this pattern and time zone dispatches its next job at once, after each job, until the clocks have changed. A job that ran 24
# times a day runs several times a second, and nothing is logged. The day after, all is well.
#
# The script moves the clock of its process to that hour for a few seconds. Needs Redis: REDIS_URL, by default
# redis://127.0.0.1:6379. Seen on Node 20 and 24 (their own time zones, 2026).
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund --ignore-scripts bullmq@6.7.0 cron-parser@5.10.3 ioredis@5.11.1
cat >clock.mjs <<'SCRIPT'
const Real = Date
const ahead = Real.parse(process.env.NOW) - Real.now()
globalThis.Date = class extends Real {
  constructor(...parts) {
    if (parts.length === 0) super(Real.now() + ahead)
    else super(...parts)
  }
  static now() {
    return Real.now() + ahead
  }
}
SCRIPT
cat >try.mjs <<'SCRIPT'
import { Queue, Worker } from 'bullmq'
import Redis from 'ioredis'

const connection = new Redis(process.env.REDIS_URL ?? 'redis://127.0.0.1:6379', { maxRetriesPerRequest: null })
const name = `finding-${process.pid}`
const queue = new Queue(name, { connection })
let runs = 0
await queue.upsertJobScheduler('hourly', { pattern: '0 * * * *', tz: 'Australia/Lord_Howe' })
const worker = new Worker(name, async () => void (runs += 1), { connection })
const until = performance.now() + 15_000
while (runs < 20 && performance.now() < until) await new Promise((resolve) => setTimeout(resolve, 50))
await worker.close()
const { failed } = await queue.getJobCounts('failed')
await queue.obliterate({ force: true })
await queue.close()
connection.disconnect()
console.log(`from ${process.env.NOW}, in 15 s at most: ${runs >= 20 ? '20 runs or more' : `${runs} runs`}, ${failed} failed`)
process.exit(runs >= 20 ? 20 : runs)
SCRIPT
# 01:01 on the island, of the night of the change, and a night later.
ended=0
NOW=2027-04-03T14:01:00Z node --import ./clock.mjs try.mjs || ended=$?
later=0
NOW=2027-04-04T14:01:00Z node --import ./clock.mjs try.mjs || later=$?
if [ "$ended" = 20 ] && [ "$later" = 0 ]; then echo 'as it was found'; else echo 'IT HAS CHANGED'; exit 1; fi
