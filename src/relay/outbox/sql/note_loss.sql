-- A loss was told in the recovery that begins this generation.
insert into outflow.witness (journal, generation, member, batch)
select journal, $2, $3, 0 from outflow.outbox where relation = $1::oid
on conflict do nothing
