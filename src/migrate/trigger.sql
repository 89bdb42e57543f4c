-- Created only where it is missing: dropping and creating it at each start would lock the table against everybody.
do $trigger$
begin
  if not exists (select from pg_catalog.pg_trigger where tgrelid = {table}::regclass and tgname = 'outflow_wake') then
    create trigger outflow_wake after insert on {relation} for each statement execute function outflow.wake();
  end if;
end
$trigger$;
