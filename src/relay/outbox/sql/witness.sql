-- What Redis has acknowledged to the members of an outbox, those that are gone included, and (member 0) which generations
-- began with a loss that was told.
select w.generation, w.member, w.batch
from outflow.witness w
join outflow.outbox o on o.journal = w.journal
where o.relation = $1::oid
