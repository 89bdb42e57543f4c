-- The roles, each with the least that its program needs. Run it once, as a superuser, in the application's database,
-- before the first `outflow migrate`; running it again changes nothing. grants.sql comes after that. It only adds: what
-- PUBLIC may do in your database (connect, temporary tables) is yours to decide.
--
--   psql -d app -f roles.sql
--
-- Passwords are set apart, so that this file holds none: `\password outflow_relay` in psql.
do $roles$
declare
  wanted record;
begin
  -- A limit for each: one program that runs away must not take every connection of the server (max_connections, 100 by
  -- default, of which 3 are the superuser's). A relay needs in_flight + 3 for each outbox: 2, and 1 more during a rolling
  -- update, × (3 + 3) = 18. order-consumer needs its workers + 1: 3 steps × (16 + 1) = 51 as compose.yaml runs them,
  -- 3 × 3 pods × (5 + 1) = 54 as kubernetes/ does. order-api needs 8. Change a limit with `alter role … connection limit …`.
  for wanted in
    select * from (values ('outflow_migrator', 50), ('outflow_relay', 50), ('outflow_operator', 50), ('order_api', 50),
      ('order_consumer', 60)) as role (name, connections)
  loop
    if not exists (select from pg_catalog.pg_roles where rolname = wanted.name) then
      execute format('create role %I login nosuperuser nocreatedb nocreaterole connection limit %s', wanted.name,
        wanted.connections);
    end if;
  end loop;
  execute format(
    'grant connect on database %I to outflow_migrator, outflow_relay, outflow_operator, order_api, order_consumer',
    current_database());
  -- For the schema outflow. Postgres asks for it even when `create schema if not exists` finds the schema.
  execute format('grant create on database %I to outflow_migrator', current_database());
end
$roles$;

-- For the default table public.outbox, which then belongs to the migrator.
grant usage, create on schema public to outflow_migrator;
grant usage on schema public to outflow_relay, outflow_operator, order_api, order_consumer;

-- The companions' own schema. Whichever starts first creates the tables and owns them; the other one may use them.
create schema if not exists orders;
grant usage, create on schema orders to order_api, order_consumer;
alter default privileges for role order_api in schema orders
  grant select, insert, update, delete on tables to order_consumer;
alter default privileges for role order_consumer in schema orders
  grant select, insert, update, delete on tables to order_api;
