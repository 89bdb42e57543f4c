-- Only the server knows how long they are as text, and even it may have no room to find out.
select
  case when octet_length(jsonb_send(documents -> 'payload')) <= $2
    then (documents -> 'payload')::text end,
  case when octet_length(jsonb_send(documents -> 'headers')) <= $2
    then (documents -> 'headers')::text end
from outflow.dead_letter
where id = $1
  and documents is not null
