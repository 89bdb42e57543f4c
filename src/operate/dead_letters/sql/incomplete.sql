select id, array_to_string(missing, ', ')
from outflow.dead_letter
where outbox = $1
  and id = any ($2)
  and cardinality(missing) > 0
order by id
