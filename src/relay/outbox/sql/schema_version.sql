-- The newest version of the schema, and the oldest one whose programs may work with it. Through to_jsonb, because schemas
-- before version 8 have no such column.
select version, (to_jsonb(newest) ->> 'oldest')::integer as oldest
from outflow.migration as newest
order by version desc
limit 1
