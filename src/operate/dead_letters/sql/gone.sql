-- Taking them here and putting them there is one statement: of two that retry at once, one gets
-- each letter.
with gone as (
  delete from outflow.dead_letter
  where outbox = $1 and id = any ($2)
  returning *
)
