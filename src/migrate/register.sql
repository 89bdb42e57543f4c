-- Registers a drained table under its configured name. A new name replaces the old one; its journal stays.
insert into outflow.outbox as known (relation, name) values ({table}::regclass, {name})
on conflict (relation) do update set name = excluded.name where known.name <> excluded.name;
