-- The order domain's tables. Applied by both companions at every start, by several instances at once (schema.rs takes a
-- lock around it): every statement leaves alone what is already there, and none drops or rewrites anything.

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
