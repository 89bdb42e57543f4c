-- Version 3 of the example services' tables, made by scripts/older-schemas.sh from commit 116f5ae.

create schema if not exists orders;

create table if not exists orders.orders (
  order_id uuid primary key,
  customer_id text not null,
  status text not null check (status in ('created', 'confirmed', 'rejected', 'cancelled')),
  currency text not null check (currency ~ '^[A-Z]{3}$'),
  items jsonb not null,                                       -- [{sku, quantity, unit_price as text}]; read as a whole
  total_amount numeric(20, 2) not null check (total_amount >= 0),
  created_at timestamptz not null default now(),
  cancelled_at timestamptz
);

create table if not exists orders.inventory (
  sku text primary key,
  on_hand bigint not null,
  reserved bigint not null check (reserved between 0 and on_hand)
);

create table if not exists orders.reservations (
  order_id uuid primary key,
  skus text[] not null,
  quantities bigint[] not null,
  state text not null check (state in ('held', 'rejected', 'released')),
  changed_at timestamptz not null default now()
);

create table if not exists orders.payments (
  order_id uuid primary key,
  amount numeric(20, 2) not null,
  state text not null check (state in ('taken', 'failed', 'void', 'refunded')),   -- void: cancelled before it was taken
  changed_at timestamptz not null default now()
);

create table if not exists orders.inbox (
  consumer_group text not null,
  event_id uuid not null,
  handled_at timestamptz not null default now(),
  primary key (consumer_group, event_id)
);

do $index$ begin
  if to_regclass('orders.inbox_handled_at') is null then
    create index inbox_handled_at on orders.inbox using brin (handled_at);
  end if;
end $index$;

insert into orders.orders (order_id, customer_id, status, currency, items, total_amount, created_at)
  select ('00000000-0000-4000-8000-' || lpad(i::text, 12, '0'))::uuid, 'ada',
    case i when 1 then 'created' else 'cancelled' end, 'EUR',
    '[{"sku": "a", "quantity": 3, "unit_price": "1.00"}]', 3, '2026-11-21 12:00:00Z'
  from generate_series(1, 2) as i;
insert into orders.inventory values ('a', 1000000, 3), ('many', 2000000, 2000000);
insert into orders.inbox values
  ('inventory', '00000000-0000-4000-8000-000000000001', '2026-11-21 12:00:00Z');
