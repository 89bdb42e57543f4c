insert into orders.idempotency (key, request_sha256, response)
values ($1, sha256($2::bytea), $3)
on conflict (key) do update
set request_sha256 = excluded.request_sha256, response = excluded.response, created_at = now()
