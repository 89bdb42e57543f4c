-- Whether a column is the first one of an index that has every row and finds equal values. $1 schema, $2 table, $3 column.
select exists (
  select
  from pg_catalog.pg_index i
  join pg_catalog.pg_class c on c.oid = i.indrelid
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = i.indkey[0]
  join pg_catalog.pg_class x on x.oid = i.indexrelid
  join pg_catalog.pg_am m on m.oid = x.relam
  where n.nspname = $1 and c.relname = $2 and a.attname = $3
    and i.indisvalid and i.indpred is null and m.amname in ('btree', 'hash')
)
