-- Raises the error of a whole statement. A role that may only dispatch can call the functions with its own SQL. It must not
-- store values that stop readers of many jobs, so each value is checked before it is stored.
create function errand.out_of_bounds(p_what text, p_value anyelement) returns anyelement language plpgsql as $$
begin
  raise exception 'errand: % is out of bounds', p_what using errcode = '22023';
end $$;

-- The tags of a job from the text of an array.
create function errand.tags_of(p_tags text) returns text[] language plpgsql as $$
declare
  v_tags text[] := p_tags::text[];
begin
  if array_ndims(v_tags) > 1 or cardinality(v_tags) > 64 or array_position(v_tags, null) is not null
    or exists (select from unnest(v_tags) as t (tag) where octet_length(t.tag) > 2048)
  then
    return errand.out_of_bounds('a tag', v_tags);
  end if;
  return v_tags;
end $$;
