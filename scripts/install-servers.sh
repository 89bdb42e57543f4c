#!/usr/bin/env bash
# Installs Postgres, Redis and PgBouncer (which only the tests need) where they are missing: through apt when root on
# Debian or Ubuntu, else it says what to do.
set -euo pipefail

has_postgres() {
  local bin
  for bin in "$(command -v initdb || true)" /usr/lib/postgresql/*/bin/initdb; do
    if [[ -x $bin && -x ${bin%/*}/postgres ]]; then return 0; fi
  done
  return 1
}

missing=()
has_postgres || missing+=(postgresql)
command -v redis-server >/dev/null || missing+=(redis-server)
# The tests run the commands through it; Debian keeps it out of a user's PATH.
command -v pgbouncer >/dev/null || [[ -x /usr/sbin/pgbouncer ]] || missing+=(pgbouncer)
if ((${#missing[@]} == 0)); then exit 0; fi

if ! command -v apt-get >/dev/null; then
  echo "missing: ${missing[*]}. Install Postgres (postgres, initdb), Redis (redis-server) and PgBouncer (pgbouncer) of this system, so that" \
    "they are in PATH, and try again." >&2
  exit 1
fi
if ((EUID != 0)); then
  echo "missing: ${missing[*]}. Install with: sudo apt-get install ${missing[*]}" >&2
  exit 1
fi

# Debian starts a service when its package is installed unless this file says no; ours are private and need none.
policy=/usr/sbin/policy-rc.d
if [[ ! -e $policy ]]; then
  trap 'rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod +x "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
echo "installing: ${missing[*]}"
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}"
