import { laneRank, lanes } from '@errand/core/ports'
import { uniqueCode } from '../../codes.ts'

/** A hundred years, as in core: what is longer is a mistake, and would overflow timestamps. */
const longestMs = 100 * 365 * 86_400_000
/** Times that are given as such: the years 1 to 9999. */
const [earliestMs, latestMs] = [-62_135_596_800_000, 253_402_300_799_999]
/** As in core. */
const mostRuns = 1_000_000
/** In bytes. Core allows keys and tags of 512 characters; an index takes no more than 2,700 bytes of a row. */
const longestKey = 2_048
const longestText = 128
const longestData = 16_384
const longestMeta = 2_097_152
/** What core allows at most, encrypted. */
const longestPayload = 25_165_824
const mostTags = 64

/** A time span that can be added to any time of these days, whatever a row or a caller says. */
export const boundedInterval = (ms: string): string => `${boundedMs(ms)} * interval '1 millisecond'`
export const boundedMs = (ms: string): string =>
  `case when ${ms} is not null then least(greatest(${ms}, 0), ${longestMs}) end`

type Kind =
  | 'name'
  | 'queue'
  | 'lane'
  | 'uniqueMode'
  | 'duration'
  | 'time'
  | 'runs'
  | 'text'
  | 'key'
  | 'payload'
  | 'meta'
  | 'data'
type Bound = readonly [what: string, isOutside: (value: string) => string]

const longer = (bytes: number) => (value: string) => `octet_length(${value}) > ${bytes}`
const beyond = (least: number, most: number) => (value: string) => `${value} not between ${least} and ${most}`

/** What a dispatch may store, by the kind of value. A null is for the table to judge. */
const allowed: Readonly<Record<Kind, Bound>> = {
  name: ['a name', (value) => `${value} !~ '^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$'`],
  queue: ['a queue', (value) => `${value} !~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$'`],
  lane: ['a lane', (value) => `${value} not in (${lanes.map((lane) => laneRank[lane]).join(', ')})`],
  uniqueMode: ['the mode of a unique key', beyond(uniqueCode.none, uniqueCode.untilStarted)],
  duration: ['a duration', beyond(0, longestMs)],
  time: ['a time', beyond(earliestMs, latestMs)],
  runs: ['a number of runs', beyond(1, mostRuns)],
  text: ['an id or codec', longer(longestText)],
  key: ['a key', longer(longestKey)],
  payload: ['a payload', longer(longestPayload)],
  meta: ['meta', longer(longestMeta)],
  data: ['the data of an event', longer(longestData)],
}

/**
 * The value, or an error of the whole statement. Who may only dispatch can call the functions by its own SQL, and must not
 * store what stops those who read its jobs among others.
 */
export const within = (s: string, kind: Kind, value: string): string => {
  const [what, isOutside] = allowed[kind]
  return `case when ${isOutside(value)} then ${s}.out_of_bounds('${what}', ${value}) else ${value} end`
}

/** The tags of a job from the text of an array. */
export const tagsWithin = (s: string, text: string): string =>
  `case when ${text} is not null then ${s}.tags_of(${text}) end`

export const bounds = (s: string): string => `
create function ${s}.out_of_bounds(p_what text, p_value anyelement) returns anyelement language plpgsql as $$
begin
  raise exception 'errand: % is out of bounds', p_what using errcode = '22023';
end $$;

create function ${s}.tags_of(p_tags text) returns text[] language plpgsql as $$
declare
  v_tags text[] := p_tags::text[];
begin
  if array_ndims(v_tags) > 1 or cardinality(v_tags) > ${mostTags} or array_position(v_tags, null) is not null
    or exists (select from unnest(v_tags) as t (tag) where octet_length(t.tag) > ${longestKey})
  then
    return ${s}.out_of_bounds('a tag', v_tags);
  end if;
  return v_tags;
end $$;
`
