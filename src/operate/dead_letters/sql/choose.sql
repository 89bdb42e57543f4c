-- The dead letters that pass a filter; a parameter that is null filters nothing. By number, which is the order in which
-- they died: of one key, that of the events.
select {columns}
from outflow.dead_letter
-- One of a kept outbox counts once its row was passed, and stays for as long as the row does: also when it was retried or
-- discarded.
where pending is null and retired_at is null
  and ($1::bigint[] is null or id = any ($1))
  and ($2::text is null or outbox = $2)
  and ($3::text is null or reason = $3)
  and ($4::text is null or stream = $4 or $4 = '' and stream is null)
  and ($5::timestamptz is null or died_at >= $5)
  -- What is no text is shown and asked for in hexadecimal digits.
  and ($7::text is null or type = $7 collate "C" or '\x' || (bytes ->> 'type') = $7)
  and ($8::text is null or key = $8 collate "C" or '\x' || (bytes ->> 'key') = $8)
  and ($9::timestamptz is null or died_at < $9)
  and ($10::bigint is null or id <= $10)
  and ($11::bigint is null or id >= $11)
order by id
limit $6::bigint
