-- Moves events that can never be appended out of the way, in the transaction that takes them out of the outbox.
insert into outflow.dead_letter (outbox, "row", event_id, key, type, time, payload, headers, stream, reason, route, bytes)
select $1, d.* from unnest(
  $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bytea[], $8::text[], $9::text[], $10::text[],
  $11::jsonb[], $12::jsonb[]
) as d
