-- What a shop writes in a night: orders and payments, some that are too large, one that names no
-- stream, and some for streams that take nothing now.
insert into outbox (event_id, aggregate_type, aggregate_id, event_type, payload, headers)
select
  ('0198c0de-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid,
  'order',
  'order-' || 1000 + n / 3,
  (array['OrderPlaced', 'OrderPaid', 'OrderShipped'])[n % 3 + 1],
  json_build_object(
    'order_id', 'order-' || 1000 + n / 3,
    'customer', (array['Ada Lovelace', 'Grace Hopper', 'Edsger Dijkstra'])[n / 3 % 3 + 1],
    'total', to_char(49.9 + n, 'FM990.00'),
    'currency', 'EUR',
    'items', json_build_array(json_build_object('sku', 'A-' || n, 'quantity', n % 4 + 1))
  ),
  json_build_object('traceparent', '00-' || md5(n::text) || '-' || left(md5(n::text), 16) || '-01')
from generate_series(0, 59) as n;

insert into outbox (aggregate_type, aggregate_id, event_type, payload)
select
  'payment',
  'payment-' || n,
  'PaymentCaptured',
  json_build_object('payment_id', 'payment-' || n, 'amount', '49.90')
from generate_series(1, 25) as n;

insert into outbox (aggregate_type, aggregate_id, event_type, payload)
select 'order', 'import-' || n, 'CatalogImported', json_build_object('pad', repeat('x', 9000))
from generate_series(1, 3) as n;

insert into outbox (aggregate_type, aggregate_id, event_type, payload)
values
  ('', 'customer-7', 'CustomerRenamed', '{"name": "Barbara Liskov"}'),
  ('refund', 'refund-1', 'RefundRequested', '{"amount": "12.00"}'),
  ('refund', 'refund-2', 'RefundRequested', '{"amount": "7.50"}'),
  ('invoice', 'invoice-1', 'InvoiceIssued', '{"number": "2026-0001"}');
