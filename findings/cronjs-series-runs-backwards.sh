#!/bin/sh
# @datasert/cronjs-matcher 1.4.0: in the night in spring, the list of a pattern's next moments has one of them twice, or runs backwards.
#
# Its `getFutureMatches` answers the next moments of a pattern in a zone. When Berlin's clocks go from 02:00 to 03:00, a pattern of every
# hour has the same moment (01:00 UTC) as two entries. On Lord Howe, where clocks go by half an hour, the list of `*/15 2 * * *` is
# 15:30, 15:45, and then 15:30 and 15:45 once more. Who takes the last entry and asks for what follows it, or makes an id of the
# moment, runs a job twice or never gets further.
#
# Seen on Node 20 and 24 (their own time zones, 2026).
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund @datasert/cronjs-matcher@1.4.0
cat >try.mjs <<'SCRIPT'
import { getFutureMatches } from '@datasert/cronjs-matcher'

const list = (pattern, timezone, startAt, matchCount) =>
  getFutureMatches(pattern, { timezone, startAt, matchCount })
    .map((moment) => new Date(moment).toISOString().slice(11, 16))
    .join(', ')

const berlin = list('0 * * * *', 'Europe/Berlin', '2027-03-27T22:00:00Z', 6)
console.log('every hour, Berlin, 02:00 is 03:00, UTC:', berlin)
const lordHowe = list('*/15 2 * * *', 'Australia/Lord_Howe', '2027-10-02T13:00:00Z', 4)
console.log('every quarter of an hour from 02:00, Lord Howe, 02:00 is 02:30, UTC:', lordHowe)
const asSeen =
  berlin === '22:00, 23:00, 00:00, 01:00, 01:00, 02:00' && lordHowe === '15:30, 15:45, 15:30, 15:45'
console.log(asSeen ? 'as it was found' : 'IT HAS CHANGED')
process.exit(asSeen ? 0 : 1)
SCRIPT
node --no-warnings try.mjs
