-- What relay, operator and producer may do with the tables that `outflow migrate` made. Run it after the first migrate, as
-- outflow_migrator, who owns them; running it again changes nothing.
--
--   psql -U outflow_migrator -d app -f grants.sql
--
-- For a table of your own in place of public.outbox: the same lines for it, run by its owner.

-- The relay takes rows out and changes none. Postgres wants `update` of some column for `for update skip locked`.
grant usage on schema outflow to outflow_relay;
grant select, delete, update (id) on public.outbox to outflow_relay;
-- What the sequence has handed out tells it which ids can still come. Without this grant it looks from the first row on.
grant select on sequence public.outbox_id_seq to outflow_relay;
-- The relay's own tables: the generation, who runs, what Redis has acknowledged, and what could not be delivered. It
-- counts the dead letters and reads none back.
grant select, update on outflow.outbox to outflow_relay;
grant select, insert, delete, update (report) on outflow.member to outflow_relay;
grant select, insert, update, delete on outflow.witness to outflow_relay;
-- Positions of kept outboxes (`settle = "keep"`). Such an outbox needs more, which `outflow check` prints.
grant select, insert, update, delete on outflow.position to outflow_relay;
-- What people have paused. The relay reads it and pauses nothing.
grant select on outflow.pause to outflow_relay;
grant insert, select (outbox) on outflow.dead_letter to outflow_relay;
-- Which version the schema has. A relay that may not read it cannot refuse a schema that only newer relays know.
grant select on outflow.migration to outflow_relay;

-- A person who looks, and who puts dead letters back or discards them. Whoever may put back may insert.
grant usage on schema outflow to outflow_operator;
grant select, insert on public.outbox to outflow_operator;
grant select on outflow.migration, outflow.outbox, outflow.member, outflow.position to outflow_operator;
grant select, delete on outflow.dead_letter to outflow_operator;
-- A letter of a kept outbox stays, and says that it was retried or discarded.
grant update (retired_at) on outflow.dead_letter to outflow_operator;
grant select, insert, update, delete on outflow.pause to outflow_operator;
-- Whoever acts on dead letters, pauses or resumes leaves a trace, and cannot take it away. When, by which role and from
-- which address it was, is Postgres's own knowledge: nobody else may write these columns. (Earlier versions granted them.)
revoke insert on outflow.audit from outflow_operator;
grant select, insert (action, outbox, letters, filter, os_user, host, via, operator) on outflow.audit to outflow_operator;

-- A producer inserts, and reads nothing back: not even its own events. `id` and `created_at` are the table's business.
grant insert (event_id, aggregate_type, aggregate_id, event_type, payload, headers) on public.outbox to order_api;
-- The consumer is a producer too: each step of the saga tells what it did.
grant insert (event_id, aggregate_type, aggregate_id, event_type, payload, headers) on public.outbox to order_consumer;
