-- As for one order, in the order of the ids: transactions that share some wait for each other, and do not deadlock.
insert into orders.payments (order_id, amount, state)
select order_id, amount, state from unnest($1::uuid[], $2::numeric[], $3::text[]) as given (order_id, amount, state)
order by order_id
on conflict (order_id) do nothing
returning order_id
