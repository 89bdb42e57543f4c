-- Only where it is missing or another one: replacing it at each start would hold up the writers. One that somebody has
-- disabled is left alone.
-- Before the insert, so that the transaction has its number before its ids, and because a statement-level trigger that
-- fires after it goes through the queue of deferred events: measured, 2 us of a writer's time instead of 5.
-- Enabled always: it must not be left out under session_replication_role = replica either.
do $trigger$
begin
  if not exists (
    select from pg_catalog.pg_trigger
    where tgrelid = {table}::regclass and tgname = 'outflow_wake' and (
      tgenabled = 'D'
      or tgenabled = 'A' and tgtype & 7 = 6 and tgqual is null and tgfoid = '{function}'::regprocedure
    )
  ) then
    create or replace trigger outflow_wake before insert on {relation} for each statement execute function {function};
    alter table {relation} enable always trigger outflow_wake;
  end if;
end
$trigger$;
