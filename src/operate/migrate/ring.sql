    create index outbox_id on {table} (id);
    -- The ring: each partition takes the rows of one {unit}, and is emptied before its turn comes again. All of them are
    -- made now, because making or attaching one later waits for every writer. The relay reads both numbers from the
    -- partition key.
    for slot in 0..{last} loop
      execute format('create table %I.%I partition of {table} for values in (%s)', 'public', 'outbox_p' || slot, slot);
    end loop;
    comment on table {table} is 'Kept outbox: a ring of {slots} partitions, one for each {unit} of created_at';
