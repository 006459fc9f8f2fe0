#!/bin/sh
# cron 4.4.0: on the night when clocks change, a job runs too early, and then once more at its time.
#
# The clock of a process (a fake one: the same package, its own timers) goes through the nights of 2027 in which clocks change.
# What people expect of "at 2:00 every day" is one run a day. Berlin gets that. New York gets a run at 1:00 and one at 2:00; a
# job of Sundays in Beirut runs on Saturday evening, and on Sunday; where the change is half an hour (Lord Howe), hourly jobs
# run at half past, too. Who bills, or sends letters, does it twice.
#
# Seen on Node 20 and 24 (their own time zones, 2026).
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund cron@4.4.0
cat >try.mjs <<'SCRIPT'
import { mock } from 'node:test'
import { CronJob } from 'cron'

/** When a job runs, told by the wall clock of its zone, with `hours` of a fake clock from `from`. */
async function runs(cronTime, timeZone, from, hours) {
  const wall = new Intl.DateTimeFormat('sv', {
    timeZone, weekday: 'short', hour: '2-digit', minute: '2-digit', timeZoneName: 'shortOffset',
  })
  mock.timers.enable({ apis: ['Date', 'setTimeout'], now: Date.parse(from) })
  const seen = []
  const job = CronJob.from({
    cronTime, timeZone, start: true, onTick: () => void seen.push(wall.format(new Date()).replace('−', '-')),
  })
  for (let ticks = 0; ticks < hours * 240; ticks += 1) {
    mock.timers.tick(15_000)
    await new Promise((resolve) => setImmediate(resolve))
  }
  await job.stop()
  mock.timers.reset()
  return seen.map((text) => text.replace(/^\S+ /, '')).join(', ')
}

const nights = [
  ['0 2 * * *', 'Europe/Berlin', '2027-10-30T22:00Z', 10, '02:00 GMT+2'],
  ['0 2 * * *', 'America/New_York', '2027-11-07T03:00Z', 10, '01:00 GMT-5, 02:00 GMT-5'],
  ['0 0 * * 0', 'Asia/Beirut', '2027-10-30T18:00Z', 10, '23:00 GMT+2, 00:00 GMT+2'],
  ['0 * * * *', 'Australia/Lord_Howe', '2027-04-03T13:30Z', 4, '01:00 GMT+11, 01:30 GMT+10:30, 02:00 GMT+10:30, 03:00 GMT+10:30, 04:00 GMT+10:30'],
]
let asSeen = true
for (const [pattern, zone, from, hours, expected] of nights) {
  const seen = await runs(pattern, zone, from, hours)
  console.log(`${pattern}  ${zone}: ${seen}`)
  asSeen &&= seen === expected
}
console.log(asSeen ? 'as it was found' : 'IT HAS CHANGED')
process.exit(asSeen ? 0 : 1)
SCRIPT
node --no-warnings try.mjs
