-- What is older than the numbers in the journal, and what belonged to a journal that nobody uses any more.
delete from outflow.witness w
where not exists (
  select from outflow.outbox o where o.journal = w.journal and (o.relation <> $1::oid or w.generation >= $2)
)
