-- How many of the events that wait are for these streams, which refuse them. Among the first in line only, so that the
-- cost is bounded.
select waiting.stream, count(*) as events
from (
  select {stream} as stream from {table} as c order by c.{order} limit {cap}
) as waiting
where waiting.stream collate "C" = any ($1::text[])
group by waiting.stream
