#!/usr/bin/env bash
# Applies users.acl to a Redis that is running, without locking anybody out.
#
#   deploy/redis/users.sh [--close-default] users.acl [redis-cli options, such as -h HOST -p PORT --tls]
#
# Connect as a user who may do everything; pass its password in REDISCLI_AUTH. The script
#   1. creates the users of the file, `admin` first, and checks that `admin` can log in;
#   2. leaves `default` as it is, because every application without a user of its own is cut off otherwise, and says how many
#      connections use it. With --close-default it applies that line too, last;
#   3. saves the users, so that they survive a restart.
# It can be run again. Each user's line is applied as a whole: rules that are not in the file are gone.
set -euo pipefail
# Patterns such as ~* are for Redis, not for the shell.
set -f

close=no
if [[ ${1:-} == --close-default ]]; then
  close=yes
  shift
fi
file=${1:?usage: users.sh [--close-default] users.acl [redis-cli options]}
shift
options=("$@")

fail() {
  echo "users.sh: $*" >&2
  exit 1
}

# redis-cli exits 0 when the server refuses.
ask() {
  local answer
  answer=$(redis-cli "${options[@]}" "$@" 2>&1) || fail "redis-cli: $answer"
  case $answer in
    ERR* | NOPERM* | NOAUTH* | WRONGPASS* | *'Could not connect'*) fail "$1 ${2:-} ${3:-}: $answer" ;;
  esac
  printf '%s\n' "$answer"
}

grep -q '>change-me' "$file" && fail "$file still has its passwords change-me-…: set your own first"

lines_of() { grep -E "^user $1 " "$file" || true; }
apply() {
  local words
  read -ra words <<<"$1"
  # `reset` first: what a user has from before must not stay.
  ask ACL SETUSER "${words[1]}" reset "${words[@]:2}" >/dev/null
  echo "user ${words[1]}: applied"
}

admin=$(lines_of admin)
[[ -n $admin ]] || fail "$file has no line for the user admin, who would be the only one left to change anything"
password=$(grep -oE '>[^ ]+' <<<"$admin" | head -1)
[[ -n $password ]] || fail "the user admin has no password in $file (>password)"
apply "$admin"
# From here on as admin, who is not changed any more.
export REDISCLI_AUTH=${password#>}
options+=(--user admin --no-auth-warning)
[[ $(ask PING) == PONG ]] || fail "the user admin cannot log in"

while read -r line; do
  apply "$line"
done < <(grep -E '^user ' "$file" | grep -vE '^user (admin|default) ')

clients=$(ask CLIENT LIST | grep -c ' user=default ' || true)
if [[ $close == yes ]]; then
  apply "$(lines_of default)"
  echo "user default: closed; $clients connections that were made as default lose their rights"
else
  echo "user default: left as it is; connections that use it now: $clients. Give each application a user of its own," \
    "then run this again with --close-default."
fi

if [[ -n $(ask CONFIG GET aclfile | sed -n 2p) ]]; then
  ask ACL SAVE >/dev/null
else
  ask CONFIG REWRITE >/dev/null
fi
echo "saved: the users survive a restart"
