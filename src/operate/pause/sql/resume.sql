-- Ends the pause of outboxes, or of one stream of each, leaves a trace and tells every member. $1 tables, $2 their outboxes,
-- $3 the stream or '', $4 and $5 who, $6 from where, $7 who is logged in there. A pause that was over by itself is removed, too.
with wanted as materialized (
  select * from unnest($1::oid[], $2::text[]) with ordinality as w (relation, name, n)
), moment as materialized (
  select clock_timestamp() as at
), gone as (
  delete from outflow.pause p using moment
  where p.relation::oid = any ($1) and p.stream = $3
  returning p.*, coalesce(p.until <= moment.at, false) as is_over
), noted as (
  insert into outflow.audit (action, outbox, letters, filter, os_user, host, via, operator)
  select 'resume', w.name, 0,
    jsonb_strip_nulls(jsonb_build_object('stream', nullif($3, ''), 'why', g.why, 'since', g.since)), $4, $5, $6, $7
  from gone g join wanted w on w.relation = g.relation::oid
  where not g.is_over
)
select w.name as outbox, nullif(g.stream, '') as stream, g.why, g.since, g.until, g.os_user, g.host, g.role, g.is_over,
  pg_notify('outflow_members_' || w.relation::text, '')
from gone g join wanted w on w.relation = g.relation::oid
order by w.n
