-- Registers the drained tables under their configured names. A new name replaces the old one; the table's journal stays.
do $register$
declare
  held record;
begin
  select format('%I.%I', n.nspname, c.relname) as holder,
    case c.relkind
      when 'v' then 'a view' when 'm' then 'a materialized view' when 'f' then 'a foreign table' when 'S' then 'a sequence'
      when 'c' then 'a composite type' else 'a relation of another kind'
    end as kind
  into held
  from (values {wanted}) as wanted (name, relation)
  join pg_catalog.pg_class c on c.oid = wanted.relation
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where c.relkind not in ('r', 'p')
  limit 1;
  if found then
    raise exception '% is %, not a table', held.holder, held.kind
      using errcode = 'wrong_object_type',
        hint = 'the relay needs the rows themselves; let outbox.table name the table that it is made from';
  end if;

  -- Of tables that were dropped: a table that was made again under the name is another one, with a journal of its own.
  delete from outflow.outbox as known
  where not exists (select from pg_catalog.pg_class where oid = known.relation::oid);

  select wanted.name, wanted.relation, format('%I.%I', n.nspname, c.relname) as holder into held
  from (values {wanted}) as wanted (name, relation)
  join outflow.outbox known on known.name = wanted.name and known.relation <> wanted.relation
  join pg_catalog.pg_class c on c.oid = known.relation
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where known.relation not in (select relation from (values {wanted}) as wanted (name, relation))
  limit 1;
  if found then
    raise exception 'outbox %: the name is taken by the table % (renamed since?), so that % cannot have it',
        quote_ident(held.name), held.holder, held.relation
      using errcode = 'unique_violation', hint = format(
        'to deliver what is left there, give it an [[outbox]] of its own in the configuration: table = "%s" and another '
        'name; if nothing there is to be delivered: delete from outflow.outbox where relation = %L::regclass;',
        held.holder, held.holder);
  end if;

  -- Two tables may have changed their names with each other.
  update outflow.outbox as known set name = gen_random_uuid()::text
  from (values {wanted}) as wanted (name, relation)
  where known.relation = wanted.relation and known.name <> wanted.name;
  insert into outflow.outbox as known (relation, name)
  select relation, name from (values {wanted}) as wanted (name, relation)
  on conflict (relation) do update set name = excluded.name where known.name <> excluded.name;
end
$register$;
