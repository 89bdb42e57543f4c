-- Which of these privileges the role of this session has not. $1 schemas, $2 tables, $3 privileges, $4 columns of the tables;
-- an empty one stands for the whole table, and an empty table for the schema itself. What does not exist is missing nothing.
select w.n::integer as n, quote_ident(current_user) as role
from unnest($1::text[], $2::text[], $3::text[], $4::text[]) with ordinality as w (schema, name, privilege, column_name, n)
join pg_catalog.pg_namespace n on n.nspname = w.schema
left join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = w.name and w.name <> ''
left join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attname = w.column_name and not a.attisdropped
where not case
  when w.name = '' then pg_catalog.has_schema_privilege(n.oid, w.privilege)
  when w.column_name = '' then pg_catalog.has_table_privilege(c.oid, w.privilege)
  else pg_catalog.has_column_privilege(c.oid, a.attnum, w.privilege)
end
order by w.n
