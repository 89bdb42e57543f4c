-- By primary key, not by ctid: a partitioned table (by hash of the event id, for example) has the same ctid more than once.
delete from {table} where (consumer_group, event_id) in (
  select consumer_group, event_id from {table}
  where handled_at < now() - make_interval(secs => $2) and consumer_group = $1 limit $3
)
