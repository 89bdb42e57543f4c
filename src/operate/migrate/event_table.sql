-- The default event table, for those who have none. The relay alters no table that it did not create.
create table if not exists {table} (
  -- Order column: an uncached sequence, as `order per key` needs.
  id bigint generated always as identity primary key,
  -- What consumers deduplicate by.
  event_id uuid not null default gen_random_uuid(),
  aggregate_type text not null,
  -- Ordering key.
  aggregate_id text not null,
  event_type text not null,
  payload json not null,
  headers json not null default '{}',
  created_at timestamptz not null default now()
);
