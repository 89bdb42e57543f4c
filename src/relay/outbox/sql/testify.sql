-- The last batch that Redis has acknowledged to a member. Not durable at once: it may say less than Redis did, never more,
-- and the next one follows. Not for a generation that is over: a loss may have been told since.
with quick as materialized (select pg_catalog.set_config('synchronous_commit', 'off', true))
insert into outflow.witness as known (journal, generation, member, batch)
select o.journal, o.generation, $3, $4
from outflow.outbox o, quick
where o.relation = $1::oid and o.generation = $2
on conflict (journal, generation, member) do update set batch = greatest(known.batch, excluded.batch)
