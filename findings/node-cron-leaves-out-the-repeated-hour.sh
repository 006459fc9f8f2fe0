#!/bin/sh
# node-cron 4.6.0: when clocks are set back, nothing runs for an hour, not even a job of every five minutes.
#
# The clock of a process (a fake one: the package's own timers) goes through the nights of 2027 in which Berlin's clocks change.
# In the night with 25 hours, 02:00 to 03:00 comes twice. A job of every 30 minutes runs at 01:30 and then at the second 02:00: it
# is silent for an hour and a half, and whoever watches for its sign of life is called. In the night with 23 hours, a job of 02:30
# does not run at all that day. (The package cron runs the first at both times, and the second at 03:00.)
#
# Seen on Node 20 and 24 (their own time zones, 2026).
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund node-cron@4.6.0
cat >try.mjs <<'SCRIPT'
import { mock } from 'node:test'
import cron from 'node-cron'

/** When a job runs, with so many hours of a fake clock from `from`; in UTC, where no clock is ever set back. */
async function runs(pattern, from, hours) {
  mock.timers.enable({ apis: ['Date', 'setTimeout', 'setInterval'], now: Date.parse(from) })
  const seen = []
  const task = cron.schedule(pattern, () => void seen.push(new Date().toISOString().slice(11, 16)), {
    timezone: 'Europe/Berlin',
  })
  for (let ticks = 0; ticks < hours * 240; ticks += 1) {
    mock.timers.tick(15_000)
    await new Promise((resolve) => setImmediate(resolve))
  }
  await task.stop()
  mock.timers.reset()
  return seen.join(', ')
}

// 02:00 comes at 00:00 UTC, and again at 01:00 UTC.
const back = await runs('*/30 * * * *', '2027-10-30T22:45Z', 4)
console.log('every 30 minutes, clocks set back, UTC:', back)
// 02:30 does not exist; 03:00 comes at 01:00 UTC.
const forward = await runs('30 2 * * *', '2027-03-27T12:00Z', 24)
console.log('at 02:30, the day that has no 02:30, UTC:', forward || 'no run')
const asSeen = back === '23:00, 23:30, 01:00, 01:30, 02:00, 02:30' && forward === ''
console.log(asSeen ? 'as it was found' : 'IT HAS CHANGED')
process.exit(asSeen ? 0 : 1)
SCRIPT
node --no-warnings try.mjs
