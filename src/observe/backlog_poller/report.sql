-- The row is the member's own: nobody waits for it. Not durable at once, since the next one
-- follows.
update outflow.member
set report = $2::jsonb || jsonb_build_object('at', clock_timestamp())
where number = $1
