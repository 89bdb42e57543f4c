#!/usr/bin/env bash
# Installs Postgres and Redis where they are missing: through apt when root on Debian or Ubuntu, else
# it says what to do. With `tools` it installs what else the tests run, too: PgBouncer, Python (whose
# packages the tests install themselves), Prometheus with promtool, systemd-analyze, and Chromium with
# its driver.
set -euo pipefail

has_postgres() {
  local bin
  for bin in "$(command -v initdb || true)" /usr/lib/postgresql/*/bin/initdb; do
    if [[ -x $bin && -x ${bin%/*}/postgres ]]; then return 0; fi
  done
  return 1
}

# Debian keeps some of them out of a user's PATH.
has() { PATH="$PATH:/usr/sbin" command -v "$1" >/dev/null; }

missing=()
has_postgres || missing+=(postgresql)
has redis-server || missing+=(redis-server)
if [[ ${1-} == tools ]]; then
  has pgbouncer || missing+=(pgbouncer)
  # Debian has a python3 without either.
  python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3 python3-venv)
  { has prometheus && has promtool; } || missing+=(prometheus)
  has systemd-analyze || missing+=(systemd)
  { has chromium && has chromedriver; } || missing+=(chromium chromium-driver)
fi
if ((${#missing[@]} == 0)); then exit 0; fi

if ! command -v apt-get >/dev/null; then
  echo "missing: ${missing[*]} (the names of Debian's packages). Install them with this system's" \
    "package manager, so that their programs are in PATH, and try again." >&2
  exit 1
fi
if ((EUID != 0)); then
  echo "missing: ${missing[*]}. Install with: sudo apt-get install ${missing[*]}" >&2
  exit 1
fi

# Debian starts a service when its package is installed unless this file says no; ours are private
# and need none.
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
