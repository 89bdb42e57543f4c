select generation, slots, mapping, unsettled::text
from outflow.outbox
where relation = $1::oid
for update
