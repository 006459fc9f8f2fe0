-- Messages to jobs. Who sends one only inserts it, and tells the job: with its row locked, or by a note where somebody else has it.

/*
 * Stores messages, and gives them to the jobs that wait for them. Every parameter is the text of an array with a place for each.
 * The first line of the answer has a word for each, with commas between: `sent`, `duplicate`, `unknown`, `ended` or `full`. A line for
 * each job that goes on follows: its id, lane and queue, with tabs between. p_inside is set in the caller's transaction: it must not
 * lock the rows of jobs.
 */
create function errand.send(
  p_ids text, p_jobs text, p_names text, p_codecs text, p_payloads text, p_senders text, p_inside text
) returns text language plpgsql
set search_path to pg_catalog, pg_temp set plan_cache_mode to force_generic_plan set enable_seqscan to off
set enable_bitmapscan to off set enable_indexonlyscan to off set enable_hashjoin to off set enable_mergejoin to off
set jit to off as $$
declare
  v_ids uuid[] := p_ids::uuid[];
  v_jobs uuid[] := p_jobs::uuid[];
  v_words text[];
  v_seqs bigint[];
  v_told uuid[];
  v_lines text;
begin
  v_words := array(
    select case when a.word = 'new' and a.unread + count(*) filter (where a.word = 'new') over (partition by a.job_id order by a.ord) > 1000
                then 'full' else a.word end
      from (
        select t.job_id, t.ord, coalesce(m.unread, 0) as unread,
               case when m.is_stored or row_number() over (partition by t.job_id, t.id order by t.ord) > 1 then 'duplicate'
                    when l.state <> 6 /* failed */ then 'new'
                    when l.id is not null or exists (select from errand.ended x where x.id = any (array[t.job_id])) then 'ended'
                    else 'unknown' end as word
          from unnest(v_ids, v_jobs) with ordinality as t (id, job_id, ord)
          left join errand.live l on l.id = any (array[t.job_id])
         cross join lateral (
           select count(*) filter (where not m.taken) as unread, bool_or(m.id = t.id) as is_stored
             from errand.messages m where m.job_id = any (array[t.job_id])) m) a
     order by a.ord);

  -- In the order of the call, and stored in that of the ids: two senders of the same ones cannot wait for each other.
  v_seqs := array(select nextval('errand.steps_seq') from unnest(v_ids));
  with stored as (
    insert into errand.messages (job_id, id, seq, at, name, sent_by, codec, body)
    select t.job_id, t.id, t.seq, errand.clock(), errand.step_name(t.name),
           case when octet_length(t.sender) > 4096 then errand.out_of_bounds('a sender', t.sender) else t.sender end,
           case when octet_length(t.codec) > 128 then errand.out_of_bounds('an id or codec', t.codec) else t.codec end,
           case when octet_length(t.payload) > 25165824 then errand.out_of_bounds('a payload', t.name) else t.payload end
      from unnest(v_ids, v_jobs, p_names::text[], p_codecs::text[], p_payloads::text[], p_senders::text[], v_words, v_seqs)
             as t (id, job_id, name, codec, payload, sender, word, seq)
     where t.word = 'new'
     order by t.job_id, t.id
    on conflict (job_id, id) do nothing
    returning job_id, id)
  select array_agg(distinct s.job_id),
         -- The others were stored meanwhile.
         array(select case when t.word <> 'new' then t.word
                           when exists (select from stored k where k.job_id = t.job_id and k.id = t.id) then 'sent'
                           else 'duplicate' end
                 from unnest(v_ids, v_jobs, v_words) with ordinality as t (id, job_id, word, ord) order by t.ord)
    into v_told, v_words from stored s;

  if p_inside::boolean then
    insert into errand.message_notes (job_id) select t.id from unnest(v_told) as t (id);
  elsif v_told is not null then
    select string_agg(concat_ws(E'\t', r.id, r.lane, r.queue), E'\n') into v_lines from errand.receive(v_told, errand.clock()) r;
  end if;
  return concat_ws(E'\n', array_to_string(v_words, ','), v_lines);
end $$;

-- Looks at jobs that have got messages. Answers those that are ready now. A job whose row somebody else has gets a note.
create function errand.receive(p_ids uuid[], p_publish_after timestamptz) returns table (id uuid, queue text, lane smallint)
language plpgsql
set search_path to pg_catalog, pg_temp set plan_cache_mode to force_generic_plan set enable_seqscan to off
set enable_bitmapscan to off set enable_indexonlyscan to off set enable_hashjoin to off set enable_mergejoin to off
set jit to off as $$
#variable_conflict use_column
declare
  v_ids uuid[];
  v_suspended uuid[];
  v_state smallint;
  v_lim text;
  v_lim_key text;
  v_lims text[] := '{}';
  v_lim_keys text[] := '{}';
begin
  select coalesce(array_agg(l.id), '{}'), coalesce(array_agg(l.id) filter (where l.state = 8 /* suspended */), '{}')
    into v_ids, v_suspended
    from (select l.id, l.state from errand.live l
           where l.id = any (p_ids) and l.state <> 6 /* failed */ and age(l.xmin) >= 0
           order by l.id for update skip locked) l;
  -- A job that has ended needs none. One that is not suspended finds its messages when it is.
  insert into errand.message_notes (job_id)
  select l.id from errand.live l where l.id = any (p_ids) and l.state <> 6 /* failed */ and not l.id = any (v_ids);
  for id, queue, lane, v_state, v_lim, v_lim_key in
    select g.id, g.queue, g.lane, g.state, g.lim, g.lim_key from errand.go_on(v_suspended, errand.clock(), p_publish_after) g
  loop
    if v_state = 3 /* ready */ then
      return next;
    else
      v_lims := v_lims || v_lim;
      v_lim_keys := v_lim_keys || v_lim_key;
    end if;
  end loop;
  if v_lims <> '{}' then
    return query
      select a.id, a.queue, a.lane from errand.admit(v_lims, v_lim_keys, p_publish_after) a where not a.pending;
  end if;
end $$;

-- Handles the notes about messages.
create function errand.receive_noted(p_limit integer, p_publish_after timestamptz)
returns table (id uuid, queue text, lane smallint) language plpgsql
set search_path to pg_catalog, pg_temp set plan_cache_mode to force_generic_plan set enable_seqscan to off
set enable_bitmapscan to off set enable_indexonlyscan to off set enable_hashjoin to off set enable_mergejoin to off
set jit to off as $$
declare
  v_notes bigint[];
  v_ids uuid[];
begin
  with notes as materialized (
    select n.id, n.job_id from errand.message_notes n order by n.id limit p_limit for update skip locked)
  select array_agg(notes.id), array_agg(distinct notes.job_id) into v_notes, v_ids from notes;
  if v_notes is null then return; end if;
  delete from errand.message_notes n where n.id = any (v_notes);
  -- The job was pruned before the sender's transaction was over.
  delete from errand.messages m
   where m.job_id = any (v_ids) and not exists (select from errand.live l where l.id = any (array[m.job_id]))
     and not exists (select from errand.ended x where x.id = any (array[m.job_id]));
  return query select r.id, r.queue, r.lane from errand.receive(v_ids, p_publish_after) r;
end $$;
