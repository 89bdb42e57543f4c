-- The order domain's tables. Applied by both companions at every start, by several instances at once (schema.rs takes a
-- lock around it): every statement leaves alone what is already there as it should be, and none rewrites or drops rows. Tables
-- of an earlier version are brought up to date, which only their owner may do.

-- Not `create schema if not exists`, which asks for the right to create schemas even if this one is there.
do $schema$
begin
  if to_regnamespace('orders') is null then
    create schema orders;
  end if;
end
$schema$;

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

-- Before the saga, an order was either created or cancelled. Rows that passed the narrower check pass this one: they are not
-- read again (not valid), because nobody can write meanwhile.
do $status$
begin
  if not exists (
    select from pg_catalog.pg_constraint
    where conrelid = 'orders.orders'::regclass and contype = 'c' and pg_get_constraintdef(oid) like '%confirmed%'
  ) then
    alter table orders.orders
      drop constraint if exists orders_status_check,
      add constraint orders_status_check check (status in ('created', 'confirmed', 'rejected', 'cancelled')) not valid;
  end if;
end
$status$;

-- The pages of GET /orders: of a customer, of a state. All of them go by the primary key.
do $index$ begin
  if to_regclass('orders.orders_customer') is null then
    create index orders_customer on orders.orders (customer_id, order_id);
    create index orders_status on orders.orders (status, order_id);
  end if;
end $index$;

-- Answers to requests that had an Idempotency-Key.
create table if not exists orders.idempotency (
  key text primary key,
  request_sha256 bytea not null,
  response text not null,
  created_at timestamptz not null default now()
);

create table if not exists orders.inventory (
  sku text primary key,
  on_hand bigint not null,
  reserved bigint not null check (reserved between 0 and on_hand)
);

-- Before the saga, stock had no end: what was reserved is all that is known. A sku of those days has as much on hand as a new
-- one by default, and never less than what is reserved. The default is for programs of those days, which insert no on_hand.
do $on_hand$
begin
  if not exists (
    select from pg_catalog.pg_attribute
    where attrelid = 'orders.inventory'::regclass and attname = 'on_hand' and not attisdropped
  ) then
    alter table orders.inventory add column on_hand bigint not null default 1000000;
    update orders.inventory set on_hand = reserved where reserved > on_hand;
    alter table orders.inventory add constraint inventory_reserved_check check (reserved between 0 and on_hand) not valid;
  end if;
end
$on_hand$;

-- What became of an order's wish for stock.
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

-- For the retention of the keys; the inbox has its own (schema.rs). Here only while the table is empty; one that was filled
-- under an earlier version gets its index without a lock that writers would wait for (retention.rs).
-- Not `create index if not exists`: that one asks for the table's owner also when there is nothing to create.
do $index$ begin
  if to_regclass('orders.idempotency_expiry') is null and not exists (select from orders.idempotency) then
    create index idempotency_expiry on orders.idempotency (created_at);
  end if;
end $index$;
