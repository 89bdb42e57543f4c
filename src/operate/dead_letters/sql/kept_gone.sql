-- As gone.sql, if letters of a kept outbox are among them: such a letter stands for a row that is still there, and stays, so
-- that the row is not sent again.
with deleted as (
  delete from outflow.dead_letter
  where outbox = $1 and id = any ($2) and kept is null
  returning *
), retired as (
  update outflow.dead_letter set retired_at = clock_timestamp()
  where outbox = $1 and id = any ($2) and kept is not null and pending is null and retired_at is null
  returning *
), gone as (
  select * from deleted union all select * from retired
)
