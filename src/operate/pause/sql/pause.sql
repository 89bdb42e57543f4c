-- Pauses outboxes, or one stream of each, leaves a trace and tells every member. One statement: all or nothing, also through
-- a transaction pooler, and whoever is cut off leaves no lock behind. $1 tables, $2 their outboxes, $3 the stream or '', $4 the
-- reason, $5 for how many seconds or null, $6 and $7 who,
-- $8 how many pauses an outbox may have, $9 the user of the operating system, $10 from where, $11 who is logged in there.
with wanted as materialized (
  select * from unnest($1::oid[], $2::text[]) with ordinality as w (relation, name, n)
), moment as materialized (
  select clock_timestamp() as at
), now_paused as materialized (
  select p.* from outflow.pause p, moment
  where p.relation::oid = any ($1) and (p.until is null or p.until > moment.at)
), over as (
  delete from outflow.pause p using moment
  where p.relation::oid = any ($1) and p.stream <> $3 and p.until <= moment.at
), paused as (
  insert into outflow.pause as p (relation, stream, why, since, until, os_user, host)
  select w.relation::regclass, $3, $4, moment.at, moment.at + make_interval(secs => $5), $6, $7
  from wanted w, moment
  where (select count(*) from now_paused o where o.relation::oid = w.relation and o.stream <> $3) < $8::bigint
  on conflict (relation, stream) do update set
    since = case when p.until <= excluded.since then excluded.since else p.since end,
    why = excluded.why, until = excluded.until, os_user = excluded.os_user, host = excluded.host,
    role = excluded.role, client_address = excluded.client_address
  returning p.relation::oid as relation, since, until, role
), noted as (
  insert into outflow.audit (action, outbox, letters, filter, os_user, host, via, operator)
  select 'pause', w.name, 0,
    jsonb_strip_nulls(jsonb_build_object('stream', nullif($3, ''), 'why', $4, 'until', p.until)), $9, $7, $10, $11
  from paused p join wanted w on w.relation = p.relation
)
select w.name as outbox, p.since, p.until, p.role,
  k.why as known_why, k.since as known_since, k.until as known_until, k.os_user as known_os_user, k.host as known_host,
  k.role as known_role, pg_notify('outflow_members_' || w.relation::text, '')
from wanted w
left join paused p on p.relation = w.relation
left join now_paused k on k.relation::oid = w.relation and k.stream = $3
order by w.n
