-- Tells every member of these outboxes to try a stream now, and leaves a trace: one statement, so that nobody is told without
-- it. $1 tables, $2 their outboxes, $3 the stream, $4 what members are told, $5 to $8 who.
with wanted as materialized (
  select * from unnest($1::oid[], $2::text[]) with ordinality as w (relation, name, n)
), noted as (
  insert into outflow.audit (action, outbox, letters, filter, os_user, host, via, operator)
  select 'retry parked stream', w.name, 0, jsonb_build_object('stream', $3::text), $5, $6, $7, $8 from wanted w
)
select w.name as outbox,
  exists (
    select
    from outflow.member m,
      jsonb_array_elements(case jsonb_typeof(m.report -> 'parked') when 'array' then m.report -> 'parked' else '[]' end) as parked
    where m.relation::oid = w.relation and parked ->> 'stream' = $3
  ) as is_known_parked,
  pg_notify('outflow_members_' || w.relation::text, $4)
from wanted w
order by w.n
