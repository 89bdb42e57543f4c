-- Dead letters of an outbox by reason. One of a kept outbox stays when it was retried or discarded.
select reason, count(*) as letters, max(died_at) as last_died_at
from outflow.dead_letter where outbox = $1 and pending is null and retired_at is null group by reason order by reason
