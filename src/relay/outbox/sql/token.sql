-- What the proof rests on (proof.sql), as one text that differs after each change of it, also if it was changed back, and
-- the last value that the sequence has handed out. Runs twice with each claim: three index scans, the rest comes from
-- caches. Every change of a trigger gives it a higher xmin than all others have, or changes their count. A sequence that is
-- altered has another file. Children are no part of it: the claim reads none, and asks for them (identity.rs).
select
  pg_catalog.concat_ws(
    '.',
    (
      select pg_catalog.concat(pg_catalog.sum(t.xmin::text::bigint), '/', pg_catalog.count(*))
      from pg_catalog.pg_trigger t where t.tgrelid = {oid}::oid
    ),
    -- Being attached as a partition changes the columns too.
    (select a.xmin from pg_catalog.pg_attribute a where a.attrelid = {oid}::oid and a.attname = {order}),
    (select pg_catalog.count(*) from pg_catalog.pg_subscription_rel s where s.srrelid = {oid}::oid),
    pg_catalog.pg_relation_filenode({sequence}),
    case when pg_catalog.has_sequence_privilege({sequence}, 'select')
      then pg_catalog.pg_sequence_parameters({sequence})::text end
  ) as token,
  -- Null before the first value.
  case when pg_catalog.has_sequence_privilege({sequence}, 'select')
    then coalesce(pg_catalog.pg_sequence_last_value({sequence}), -9223372036854775808) end as drawn
