#!/usr/bin/env bash
# Makes the dumps in tests/it/upgrades anew: one of each published version of the schema, from the
# SQL of its own commit, with what a relay leaves behind that is killed in the middle of its work. And
# the tables of the example services, as each version of them made them, with rows.
# It needs the history of the repository, Postgres and psql; nothing is installed.
#
# VERSIONS below names the last commit of each version. `early` ones are the first commits of
# versions that changed once more before the next number.
set -euo pipefail

cd "$(dirname "$0")/.."
VERSIONS=(1:c9011b5 2-early:c61a73b 2:3f5a154 3:8478632 4-early:dd75120 4:6f7a65b 5:5c9d5ce
  6-early:6302821 6:0b3f601 7:b844bb6)
# Of the example services' schema: each commit that changed a table or an index.
ORDERS=(1:74a7688 2:1a178cd 3:116f5ae 4:6112450 5:646aea4)

bin=$(dirname "$(ls /usr/lib/postgresql/*/bin/initdb | sort --version-sort | tail -n 1)")
scratch=$(mktemp --directory)
as=()
if ((EUID == 0)); then
  chown postgres "$scratch"
  as=(runuser -u postgres --)
fi
port=$((20000 + RANDOM % 20000))
finish() {
  "${as[@]}" "$bin/pg_ctl" -D "$scratch/data" -m immediate stop >/dev/null
  rm -rf "$scratch"
}
"${as[@]}" "$bin/initdb" -D "$scratch/data" -U postgres --auth=trust >/dev/null
trap finish EXIT
"${as[@]}" "$bin/pg_ctl" -D "$scratch/data" -l "$scratch/log" -w start \
  -o "-p $port -k '' -c listen_addresses=127.0.0.1 -c fsync=off" >/dev/null

sql() { psql -h 127.0.0.1 -p "$port" -X -q -v ON_ERROR_STOP=1 -U postgres "$@" >/dev/null; }

# A file of a commit, wherever it was then.
file() {
  local commit=$1 path
  path=$(git ls-tree -r --name-only "$commit" src/migrate src/operate/migrate | grep "/$2$") || return 0
  git show "$commit:$path"
}

# What `outflow migrate` of that commit ran for one outbox named orders on public.outbox: its
# function `script` put these files together, in this order.
script() {
  local commit=$1 table='"public"."outbox"' function='outflow.number_and_wake()'
  {
    echo 'begin;'
    file "$commit" schema.sql
    file "$commit" event_table.sql
    file "$commit" register.sql
    file "$commit" pause.sql
    file "$commit" keep.sql
    file "$commit" audit.sql
    file "$commit" trigger.sql | sed "s/{table}/'$table'/g"
    echo 'commit;'
  } | if [[ $2 == 1 || $2 == 2* ]]; then
    # Of the register of those days; the file of the table names it without quotes.
    sed "s/values ({table}::regclass, {name})/values ('$table'::regclass, 'orders')/"
  else cat; fi | sed "s/{class_wake}/$((0x6f750002))/; s/{table}/$table/g; s/{relation}/$table/g
    s/{function}/$function/g; s/{wanted}/('orders', '$table'::regclass)/g"
}

# A column or table that only later versions have.
has() { [[ $(psql -h 127.0.0.1 -p "$port" -U postgres -X -A -t -d "$1" -c "select $2") == t ]]; }
column() { has "$1" "exists (select from pg_attribute where attrelid = to_regclass('outflow.$2') and
  attname = '$3')"; }

# Rows 1 to 30 are ten events of each of three keys. The killed relay (member 7 of generation 3) has
# delivered 1 to 6, appended 7 to 12 without settling them (tests/it/upgrades.rs puts its journal
# into Redis), and not come to the others. Row 31 is one that its stream refused.
fill() {
  local at="'2026-11-21 12:00:00Z'" uuid="('00000000-0000-4000-8000-' || lpad(i::text, 12, '0'))::uuid"
  local mapping='stream events.{aggregate_type}; Fields; Delete; Columns { id: "id", order: "id", event_id: "event_id", key: Some("aggregate_id"), kind: "event_type", payload: "payload", headers: Some("headers"), time: Some("created_at") }; sink redis://localhost:6379/0'
  echo "insert into public.outbox (event_id, aggregate_type, aggregate_id, event_type, payload, created_at)
    select $uuid, case when i = 31 then 'refused' else 'order' end, 'k' || i % 3, 'Counted',
      jsonb_build_object('key', 'k' || i % 3, 'n', (i - 1) / 3 + 1), $at::timestamptz + i * interval '1s'
    from generate_series(1, 31) as i;
  delete from public.outbox where id <= 6;
  update outflow.migration set applied_at = $at;
  update outflow.outbox set journal = '00000000-0000-4000-8000-0000000000aa', generation = 3,
    registered_at = $at;
  select setval('outflow.member_number_seq', 7);"
  if column "$1" outbox slots; then
    echo "update outflow.outbox set slots = array_fill(7, array[64]), mapping = '$mapping';
    insert into outflow.member overriding system value
      values (7, 'public.outbox', 'gone', 4711, '0.1.0', '$mapping', $at);"
  else
    echo "insert into outflow.member overriding system value
      values (7, 'public.outbox', 'gone', 4711, '0.1.0', $at);"
  fi
  # As the relay wrote them: one whose stream refused it, one that was too large.
  echo "insert into outflow.dead_letter (outbox, \"row\", event_id, key, type, time, payload, headers,
      stream, reason, died_at)
    select 'orders', (i + 100)::text, $uuid::text, 'dead', 'Died', '2026-11-21T12:00:00Z', '{\"n\": 1}',
      '{}', 'events.dead', case i when 41 then 'refused' else 'too_large' end, $at
    from generate_series(41, 42) as i;"
  if column "$1" dead_letter route; then
    echo "update outflow.dead_letter set route = '{\"aggregate_type\": \"dead\"}';"
  fi
  if column "$1" member report; then
    echo "update outflow.member set report = '{}';"
  fi
  if column "$1" witness batch; then
    echo "insert into outflow.witness values ('00000000-0000-4000-8000-0000000000aa', 3, 7, 4);"
  fi
  # Row 32 was appended long ago, and Postgres did not let it go.
  if column "$1" outbox unsettled; then
    echo "insert into public.outbox (event_id, aggregate_type, aggregate_id, event_type, payload, created_at)
      values ('00000000-0000-4000-8000-000000000032', 'unsettled', 'k9', 'Counted', '{}', $at);
    update outflow.outbox set unsettled = jsonb_build_array(jsonb_build_object(
      'names', '{\"id\":\"id\",\"event_id\":\"event_id\"}', 'id', '32', 'event_id',
      '00000000-0000-4000-8000-000000000032', 'version', null, 'row', '32', 'reason', 'a trigger'));"
  fi
  if column "$1" audit letters; then
    echo "insert into outflow.audit (at, action, outbox, letters, filter, os_user, host, role, client_address)
      values ($at, 'discard', 'orders', 2, '{}', 'ada', 'here', 'outflow_operator', null);"
  fi
  # Row 33 waits behind a pause.
  if column "$1" pause stream; then
    echo "insert into public.outbox (event_id, aggregate_type, aggregate_id, event_type, payload, created_at)
      values ('00000000-0000-4000-8000-000000000033', 'paused', 'k8', 'Counted', '{}', $at);
    insert into outflow.pause values ('public.outbox', 'events.paused', 'maintenance', $at, null,
      'ada', 'here', 'outflow_operator', null);"
  fi
}

# Without comments, and without what only the version of pg_dump that wrote it understands.
tidied() {
  sed -E '/^--/d; /^\\(un)?restrict /d; /^SET (transaction_timeout|default_table_access_method)/d' |
    cat -s
}

for version in "${VERSIONS[@]}"; do
  name=${version%%:*} commit=${version##*:} database=schema_${version%%[:-]*}_$RANDOM
  sql -d postgres -c "create database $database"
  # The first version had no roles of its own; those of the second will do.
  with_roles=$commit
  [[ $(git ls-tree "$commit" deploy/sql/roles.sql) ]] || with_roles=3f5a154
  git show "$with_roles:deploy/sql/roles.sql" | sql -d "$database"
  script "$commit" "$name" | sql -d "$database" -U outflow_migrator
  git show "$with_roles:deploy/sql/grants.sql" | sql -d "$database" -U outflow_migrator
  fill "$database" | sql -d "$database"
  target=tests/it/upgrades/schema-$name.sql
  {
    echo "-- Version $name of the schema, made by scripts/older-schemas.sh with the SQL of commit $commit."
    "$bin/pg_dump" -h 127.0.0.1 -p "$port" -U postgres --inserts -N orders "$database" | tidied
  } >"$target"
  echo "$target: $(wc --lines <"$target") lines"
done

# Their schema.sql is applied as it is, so it is kept as it was, with rows behind it.
for version in "${ORDERS[@]}"; do
  name=${version%%:*} commit=${version##*:} target=tests/it/upgrades/orders-$name.sql
  {
    echo "-- Version $name of the example services' tables, made by scripts/older-schemas.sh from commit $commit."
    git show "$commit:src/orders/schema.sql" | sed '/^ *--/d'
    echo
    echo "insert into orders.orders (order_id, customer_id, status, currency, items, total_amount, created_at)
  select ('00000000-0000-4000-8000-' || lpad(i::text, 12, '0'))::uuid, 'ada',
    case i when 1 then 'created' else 'cancelled' end, 'EUR',
    '[{\"sku\": \"a\", \"quantity\": 3, \"unit_price\": \"1.00\"}]', 3, '2026-11-21 12:00:00Z'
  from generate_series(1, 2) as i;"
    if ((name < 3)); then
      echo "insert into orders.inventory values ('a', 3), ('many', 2000000);"
    else
      echo "insert into orders.inventory values ('a', 1000000, 3), ('many', 2000000, 2000000);"
    fi
    echo "insert into orders.inbox values
  ('inventory', '00000000-0000-4000-8000-000000000001', '2026-11-21 12:00:00Z');"
    if ((name >= 4)); then
      echo "insert into orders.idempotency values ('k', '', '{}', '2026-11-21 12:00:00Z');"
    fi
  } >"$target"
  sql -d postgres -c "create database orders_$name"
  sql -d "orders_$name" -f "$target"
  echo "$target: $(wc --lines <"$target") lines"
done
