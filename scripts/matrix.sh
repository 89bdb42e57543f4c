#!/usr/bin/env bash
# Runs the integration tests and a short fault run against each version of Postgres, and of Redis and
# Valkey, that Outflow is tested with, and writes the outcome into docs/compatibility.md. Each takes
# about a quarter of an hour. ONLY="postgres-18+redis-8.6 …" runs those alone, in any combination.
#
# Along the edges: each Postgres with this machine's Redis, and each Redis with this machine's Postgres.
# Without the console in a browser: that takes a third of the time, and its pages come from readers
# that the tests without a browser try on each version, too.
set -euo pipefail

cd "$(dirname "$0")/.."
page=docs/compatibility.md
logs=target/matrix
own=installed
pairs=(postgres-14+$own postgres-16+$own postgres-17+$own postgres-18+$own
  $own+redis-8.0 $own+redis-8.6 $own+valkey-8 $own+valkey-9 $own+$own)
if [[ -n ${ONLY-} ]]; then read -ra pairs <<<"$ONLY"; fi
mkdir -p "$logs"

# The directory of a server's programs; empty: the installed one.
directory() {
  if [[ $1 != "$own" ]]; then scripts/fetch-server.sh "${1%-*}" "${1##*-}"; fi
}

# "Postgres 18.6", "Valkey 9.1.2": as the programs say.
postgres_version() {
  local program=${1:+$1/postgres}
  [[ -n $program ]] || program=$(ls -v /usr/lib/postgresql/*/bin/postgres 2>/dev/null | tail -n 1)
  "${program:-postgres}" --version | sed 's/.*) \([0-9.]*\).*/Postgres \1/'
}
redis_version() {
  "${1:+$1/}redis-server" --version | sed 's/\([A-Za-z]*\) server v=\([^ ]*\).*/\1 \2/'
}

# Puts a row into the table of the page, in place of the one that it had for these versions.
note() {
  local versions="| $1 | $2 |"
  { sed '/^<!-- matrix -->$/q' "$page"
    { sed -n '/^<!-- matrix -->$/,/^<!-- end -->$/p' "$page" | grep '^| [PRV].*[0-9]' |
        grep -vF "$versions" || true
      echo "$versions $3 | $4 | $5 |"; } | sort -V |
      sed '1i\| Postgres | Redis | Outflow | Date | Result |\n| --- | --- | --- | --- | --- |'
    sed -n '/^<!-- end -->$/,$p' "$page"; } >"$logs/page"
  mv "$logs/page" "$page"
}

# Those of all packages: the tests run the companions, too.
cargo build --locked --bins
cargo test --locked --test it --test faults --no-run
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
failed=0
for pair in "${pairs[@]}"; do
  postgres=$(directory "${pair%+*}") redis=$(directory "${pair#*+}")
  names="$(postgres_version "$postgres"), $(redis_version "$redis")"
  echo "=== $names"
  log=$logs/$pair.log
  if OUTFLOW_TEST_POSTGRES_BIN=$postgres OUTFLOW_TEST_REDIS_BIN=$redis \
    cargo test --locked --no-fail-fast --test it --test faults -- --skip console::browser \
      >"$log" 2>&1; then
    result=passed
  else
    result=failed
    failed=1
  fi
  tests=$(awk '/^test result/ { passed += $4; failed += $6 }
    END { print passed " passed" (failed ? ", " failed " failed" : "") }' "$log")
  echo "    $tests, $log"
  note "${names%, *}" "${names#*, }" "$version" "$(date +%F)" "$result: $tests"
done
exit "$failed"
