import { eventCode, stateCode, uniqueCode } from '../../codes.ts'
import { tagsWithin, within } from './bounds.ts'
import { hot } from './hot.ts'

/**
 * Appends jobs that are ready at once and differ in nothing but id, payload, tags and meta: most dispatches. Every other
 * column is one value instead of an array to be taken apart, and one pass over the rows feeds all three tables; a batch of
 * 500 costs two thirds of what `append` needs (9 ms instead of 12 on PostgreSQL 15). It looks for no duplicates, which
 * would cost an eighth of it: an id that is stored already is a unique violation, and the batch goes to `append` then.
 * Parameters are texts, as there.
 */
export const appendAlike = (s: string): string => `
create function ${s}.append_alike(
  p_ids text, p_payloads text, p_tags text, p_metas text, p_name text, p_payload_version text, p_queue text, p_lane text,
  p_codec text, p_expires text, p_parent text, p_grace text, p_attempts text, p_crashes text,
  p_crash_fails text, p_timeout text, p_data text
) returns void language plpgsql ${hot} as $$
declare
  v_now timestamptz := ${s}.clock();
  v_ids uuid[] := p_ids::uuid[];
  v_expires_at timestamptz := v_now + ${within(s, 'duration', 'p_expires::bigint')} * interval '1 millisecond';
  v_publish_after timestamptz := v_now + ${within(s, 'duration', 'p_grace::bigint')} * interval '1 millisecond';
  v_timeout_ms bigint := ${within(s, 'duration', 'p_timeout::bigint')};
  v_lane smallint := ${within(s, 'lane', 'p_lane::smallint')};
  v_payload_version integer := p_payload_version::integer;
  v_attempts integer := ${within(s, 'runs', 'p_attempts::integer')};
  v_crashes integer := ${within(s, 'runs', 'p_crashes::integer')};
  v_crash_fails boolean := coalesce(p_crash_fails::boolean, false);
  v_data text := '{' || ${within(s, 'data', 'p_data')} || '}';
  v_name text := ${within(s, 'name', 'p_name')};
  v_queue text := ${within(s, 'queue', 'p_queue')};
  v_codec text := ${within(s, 'text', 'p_codec')};
  v_parent text := ${within(s, 'text', 'p_parent')};
begin
  with stored as (
    insert into ${s}.jobs (
      id, seq, dispatched_at, expires_at, timeout_ms, payload_version, max_attempts, max_crashes, lane, fails_on_crash,
      skips_on_failure, unique_mode, name, queue, parent_id, tags, meta, codec, payload)
    select t.id, nextval('${s}.jobs_seq'), v_now, v_expires_at, v_timeout_ms, v_payload_version, v_attempts, v_crashes,
           v_lane, v_crash_fails, false, ${uniqueCode.none}, v_name, v_queue, v_parent, ${tagsWithin(s, 't.tags')},
           ${within(s, 'meta', 't.meta')}, v_codec, ${within(s, 'payload', 't.payload')}
      from unnest(v_ids, p_payloads::text[], p_tags::text[], p_metas::text[]) as t (id, payload, tags, meta)
    returning id, seq, tags),
  alive as (
    insert into ${s}.live (
      id, seq, publish_after, timeout_ms, max_crashes, lane, state, unique_mode, fails_on_crash, skips_on_failure, queue,
      name, tags)
    select stored.id, stored.seq, v_publish_after, v_timeout_ms, v_crashes, v_lane, ${stateCode.ready},
           ${uniqueCode.none}, v_crash_fails, false, v_queue, v_name, stored.tags
      from stored)
  insert into ${s}.job_events (job_id, version, type, state, name, queue, tags, run, attempt, data)
  select stored.id, 1, ${eventCode.dispatched}, ${stateCode.ready}, v_name, v_queue, stored.tags, 0, 0, v_data
    from stored;
end $$;
`
