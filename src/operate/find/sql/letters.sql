-- The newest dead letters of an outbox that fit, also those of a kept outbox that somebody has retried or discarded. $1
-- outbox, $2 event id, $3 key, $4 a pattern of headers: of these three, two are null. $5 how many.
select id, reason, detail, stream, died_at, retired_at, left("row", 400) as row, left(event_id, 400) as event_id,
  left(key, 400) as key, left(type, 400) as type, time
from outflow.dead_letter
where outbox = $1 and pending is null
  and ($2::text is null or event_id = $2 collate "C")
  -- What is no text is asked for in hexadecimal digits.
  and ($3::text is null or key = $3 collate "C" or '\x' || (bytes ->> 'key') = $3)
  and ($4::text is null or coalesce(headers, (documents -> 'headers')::text) ~ $4)
order by id desc
limit $5::bigint
