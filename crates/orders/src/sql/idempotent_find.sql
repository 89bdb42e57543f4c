-- An expired key counts as never used; the row is written over.
select request_sha256 = sha256($2::bytea), response
from orders.idempotency
where key = $1 and created_at > now() - make_interval(secs => $3)
