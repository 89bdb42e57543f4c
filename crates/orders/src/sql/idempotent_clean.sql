delete from orders.idempotency
where key in (select key from orders.idempotency where created_at < now() - make_interval(secs => $1) limit 5000)
