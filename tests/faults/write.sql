-- $2 events for each of the keys. Some must become dead letters: too long, without a stream, and a share of $3 that no claim
-- can take, because they have no type, or are some bytes that print as 131 kB. $4 bytes fill the others up. Some happened at odd times.
with counted as (
  update counter set n = n + $2 where key = any ($1) returning key, kind, n - $2 as n
),
made as materialized (
  select
    gen_random_uuid() as event_id, c.key, c.kind, c.n + i as n,
    case
      when random() < 0.003 then 'long'
      when random() < 0.001 then 'homeless'
      when random() < $3 then case when random() < 0.7 then 'nameless' else 'exploding' end
    end as poison,
    case when random() < 0.004
      then ('{infinity,-infinity,"4000-01-01 BC",12000-01-01}'::timestamptz[])[1 + floor(4 * random())::integer]
      else now()
    end as created_at
  from counted c, generate_series(1, $2) i
),
noted as (
  insert into ledger
  select
    event_id, key, kind, n,
    case poison
      when 'homeless' then 'no_stream' when 'nameless' then 'null_column' when 'long' then 'too_large' when 'exploding' then 'too_large'
    end
  from made
)
insert into outbox (event_id, aggregate_type, aggregate_id, event_type, payload, created_at)
select
  event_id,
  case when poison = 'homeless' then '' else kind end,
  key,
  case when poison is distinct from 'nameless' then 'Counted' end,
  jsonb_build_object('n', n, 'pad', case poison
    when 'exploding' then to_jsonb(1e131000::numeric)
    when 'long' then to_jsonb(repeat('x', 5000))
    else to_jsonb(repeat('x', $4))
  end),
  created_at
from made
order by n, key
