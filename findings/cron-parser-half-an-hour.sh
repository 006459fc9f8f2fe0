#!/bin/sh
# cron-parser 5.10.6: where clocks change by half an hour, `next()` throws, or passes over a day.
#
# Lord Howe Island sets its clocks by half an hour. Once a year, from an hour before its clocks go back, the next time of "every
# hour" cannot be had: "loop limit exceeded", although the pattern is as valid as on any other day. A scheduler that asks for the
# next time after each run stops there, unless it asks again later. In the spring, a job of 2:00 has no time on that day at
# all, while one of 2:30 in Berlin, which does not exist there in the night of the change, is given 3:30.
#
# Seen on Node 20 and 24 (their own time zones, 2026).
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund cron-parser@5.10.6
cat >try.mjs <<'SCRIPT'
import { CronExpressionParser } from 'cron-parser'

function next(pattern, tz, after) {
  try {
    return CronExpressionParser.parse(pattern, { tz, currentDate: new Date(after) }).next().toDate().toISOString().slice(0, 16)
  } catch (error) {
    return error.message
  }
}

const island = 'Australia/Lord_Howe'
const tries = [
  // 01:00, an hour before 02:00 becomes 01:30; the time in question is 15:30 UTC.
  ['0 * * * *', island, '2027-04-03T14:00Z', 'Invalid expression, loop limit exceeded'],
  ['0 * * * *', island, '2027-04-04T14:00Z', '2027-04-04T14:30'],
  // 02:00 becomes 02:30 at 15:30 UTC of the 2nd; this is 02:00 of the day after.
  ['0 2 * * *', island, '2027-10-02T02:00Z', '2027-10-03T15:00'],
  ['30 2 * * *', 'Europe/Berlin', '2027-03-27T12:00Z', '2027-03-28T01:30'],
]
let asSeen = true
for (const [pattern, zone, after, expected] of tries) {
  const seen = next(pattern, zone, after)
  console.log(`${pattern}  ${zone}, after ${after}: ${seen}`)
  asSeen &&= seen === expected
}
console.log(asSeen ? 'as it was found' : 'IT HAS CHANGED')
process.exit(asSeen ? 0 : 1)
SCRIPT
node try.mjs
