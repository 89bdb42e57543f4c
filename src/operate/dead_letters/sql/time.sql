-- A time that was kept as it was delivered, as Postgres reads it: years beyond 9999 without their sign, those before 1 as BC.
(case
  when time like '+%' then substr(time, 2)
  when time ~ '^(-[0-9]+|0000)-' then
    lpad((1 - left(time, strpos(substr(time, 2), '-'))::integer)::text, 4, '0')
    || substr(time, strpos(substr(time, 2), '-') + 1) || ' BC'
  else time
end)
