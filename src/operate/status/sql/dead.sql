-- Dead letters of an outbox by reason.
select reason, count(*) as letters, max(died_at) as last_died_at
from outflow.dead_letter where outbox = $1 group by reason order by reason
