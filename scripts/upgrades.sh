#!/usr/bin/env bash
# Rolling upgrades between an older relay and this one, both built here, under load; and the refusals
# of real servers that are too old. `make upgrades` runs it.
#
# It builds each older relay from its commit, in a worktree of its own below target/upgrades. It takes
# over what target/debug has of dependencies; a build takes a minute then. Later runs use the relays
# that are there. OLDER="COMMIT …" chooses others.
set -euo pipefail

cd "$(dirname "$0")/.."
# The last commits of schema versions 6 and 4. Version 4 is the oldest whose relays leave a journal
# that says by which columns it names rows (src/relay/outbox/naming.rs), as the present ones do.
OLDER=${OLDER:-0b3f601 6f7a65b}
root=$PWD/target/upgrades
mkdir -p "$root"

# Dependencies that were built here already. No links: cargo writes into files that it has.
if [[ -d target/debug/deps && ! -d $root/target ]]; then
  mkdir -p "$root/target/debug"
  cp -a target/debug/{deps,build,.fingerprint} "$root/target/debug/"
fi

build() {
  local commit=$1 source=$root/source
  [[ ! -x $root/outflow-$commit ]] || return 0
  git worktree remove --force "$source" 2>/dev/null || rm -rf "$source"
  git worktree prune
  git worktree add --quiet --detach "$source" "$commit"
  CARGO_TARGET_DIR=$root/target cargo build --locked --quiet --bin outflow \
    --manifest-path "$source/Cargo.toml"
  cp "$root/target/debug/outflow" "$root/outflow-$commit"
  git worktree remove --force "$source"
}

run() {
  cargo test --locked --quiet --test it "$1" -- --ignored --exact --nocapture
}

for commit in $OLDER; do
  build "$commit"
  for mode in delete keep; do
    OUTFLOW_TEST_OLDER_BINARY=$root/outflow-$commit OUTFLOW_TEST_SETTLE=$mode \
      run upgrades::rolling::two_versions_take_turns_under_load
  done
done

OUTFLOW_TEST_POSTGRES_BIN=$(scripts/fetch-server.sh postgres 13) \
  run upgrades::refused::a_real_postgres_that_is_too_old_is_refused
OUTFLOW_TEST_REDIS_BIN=$(scripts/fetch-server.sh redis 6.0) \
  run upgrades::refused::a_real_redis_that_is_too_old_is_refused
