-- In the order of the ids: two transactions with some of the same ids wait for each other, and do not deadlock.
insert into {table} (consumer_group, event_id)
select $1, event_id from unnest($2) as given (event_id) order by event_id
on conflict do nothing returning event_id
