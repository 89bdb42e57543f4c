insert into {table} (event_id, aggregate_type, aggregate_id, event_type, payload, headers)
values ($1::uuid, $2::text, $3::text, $4::text, $5::text::json, $6::text::json)
