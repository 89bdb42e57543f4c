insert into {table} (event_id, aggregate_type, aggregate_id, event_type, payload, headers)
select event_id, aggregate_type, aggregate_id, event_type, payload::json, headers::json
from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[])
with ordinality
as given (event_id, aggregate_type, aggregate_id, event_type, payload, headers, place)
order by place
