insert into {table} (consumer_group, event_id) values ($1, $2) on conflict do nothing
