-- The default event table of a kept outbox (`settle = "keep"`), for those who have none. The relay alters no table that it
-- did not create.
do $outbox$
begin
  if to_regclass({literal}) is null then
    create table {table} (
      -- The transaction that inserted the row, by which the relay knows what it has not sent yet. Only this default may set
      -- it: a row with the number of another transaction is lost, or sent again and again.
      xid xid8 not null default pg_catalog.pg_current_xact_id(),
      -- Order column: an uncached sequence, as `order per key` needs.
      id bigint generated always as identity{primary_key},
      -- What consumers deduplicate by.
      event_id uuid not null default gen_random_uuid(),
      aggregate_type text not null,
      -- Ordering key.
      aggregate_id text not null,
      event_type text not null,
      payload json not null,
      headers json not null default '{}',
      created_at timestamptz not null default now()
    ){partition_by};
{ring}    -- What was committed late is looked for by its transaction. Made last: of two indexes that cost the same, as in a
    -- partition that is still empty, the planner takes the later one, and the index on id would be walked from end to end.
    create index outbox_xid_id on {table} (xid, id);
  end if;
end
$outbox$;
-- Whoever inserts events may set every column but xid. For each of these roles run:
-- grant insert (event_id, aggregate_type, aggregate_id, event_type, payload, headers, created_at) on {table} to ROLE;
