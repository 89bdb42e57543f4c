-- Which of the wanted privileges the role has. By oid: looking a name up would need the privileges itself. What is not
-- there counts as held, since that is told elsewhere.
select
  current_user::text as role,
  case
    when n.oid is null or (w.relation is not null and c.oid is null) then true
    when w.relation is null then pg_catalog.has_schema_privilege(n.oid, w.privilege)
    when w.columns = 'one' then a.attnum is null or pg_catalog.has_column_privilege(c.oid, a.attnum, w.privilege)
    when w.columns = 'any' then pg_catalog.has_any_column_privilege(c.oid, w.privilege)
    else pg_catalog.has_table_privilege(c.oid, w.privilege)
  end as is_held
from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[]) with ordinality
  as w (schema, relation, privilege, column_name, columns, n)
left join pg_catalog.pg_namespace n on n.nspname = w.schema
left join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = w.relation
left join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attname = w.column_name
order by w.n
