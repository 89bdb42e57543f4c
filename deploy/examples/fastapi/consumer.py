"""Sends a welcome mail for each new customer, once: the mail is a row, written in one transaction with a row of the inbox."""

import json
import os
import signal
import socket
import time

import psycopg
import redis

STREAM, GROUP, DEAD = "events.customer", "welcome", "events.customer.dead"
# The same after a restart, so that it finds what it had begun. If it is not, the next one takes it over (CLAIM_IDLE_MS).
CONSUMER = os.environ.get("CONSUMER", socket.gethostname())
# An entry that its consumer has not acknowledged for so long belongs to whoever takes it. Longer than one may take to handle.
CLAIM_IDLE_MS = int(os.environ.get("CLAIM_IDLE_MS", "60000"))
ATTEMPTS_MAX = 5

TABLES = """
create table if not exists inbox (
  consumer_group text, event_id uuid, handled_at timestamptz not null default now(),
  primary key (consumer_group, event_id));
create table if not exists welcome_mail (email text not null, body text not null);
"""
running = True


def stop(*_: object) -> None:
    global running
    running = False


class Database:
    """A connection that is opened again when it was lost, for as long as it takes."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.connection: psycopg.Connection | None = None

    def connected(self) -> psycopg.Connection:
        if self.connection is None or self.connection.closed or self.connection.broken:
            connection = psycopg.connect(self.url, autocommit=True, connect_timeout=5)
            connection.execute("set statement_timeout = '30s'")
            connection.execute(TABLES)
            self.connection = connection
        return self.connection


def handle(database: psycopg.Connection, fields: dict[str, str]) -> None:
    """Effect and inbox are committed together: what is delivered twice has its effect once."""
    if fields["type"] != "CustomerCreated":
        return
    customer = json.loads(fields["payload"])
    with database.transaction():
        seen = database.execute(
            "insert into inbox (consumer_group, event_id) values (%s, %s) on conflict do nothing", (GROUP, fields["id"])
        )
        if seen.rowcount == 1:
            body = f"Welcome, {customer['name']}!"
            database.execute("insert into welcome_mail values (%s, %s)", (customer["email"], body))


def is_fault_of_entry(error: Exception) -> bool:
    """Whether the same entry fails in the same way again: no JSON, a field that is missing, a value that Postgres refuses."""
    if not isinstance(error, psycopg.Error):
        return isinstance(error, (KeyError, TypeError, ValueError, AttributeError))
    # 22: data, 23: constraints. Without a code, it was refused before it was sent.
    is_refused_here = error.sqlstate is None and isinstance(error, (psycopg.DataError, psycopg.ProgrammingError))
    return is_refused_here or (error.sqlstate or "")[:2] in ("22", "23")


def bury(streams: redis.Redis, entry_id: str, fields: dict[str, str], error: Exception) -> None:
    """To the dead letters, and acknowledged, in one transaction of Redis."""
    why = {"dead_stream": STREAM, "dead_id": entry_id, "dead_group": GROUP, "dead_error": repr(error)[:1000]}
    with streams.pipeline(transaction=True) as both:
        both.xadd(DEAD, fields | why).xack(STREAM, GROUP, entry_id).execute()
    print(f"{entry_id}: dead: {error!r}", flush=True)


def attempt(streams: redis.Redis, database: Database, entry_id: str, fields: dict[str, str] | None) -> None:
    """Handles one entry. An exception means: not now."""
    try:
        # None: deleted from the stream while it was pending.
        if fields:
            handle(database.connected(), fields)
    except Exception as error:
        if not is_fault_of_entry(error):
            raise
        attempts = streams.xpending_range(STREAM, GROUP, entry_id, entry_id, 1)
        # No attempt changes what is missing; what Postgres refuses may be a migration that is under way.
        if isinstance(error, psycopg.Error) and attempts and attempts[0]["times_delivered"] < ATTEMPTS_MAX:
            raise
        bury(streams, entry_id, fields or {}, error)
        return
    # Only now: the effect is committed.
    streams.xack(STREAM, GROUP, entry_id)


def create_group(streams: redis.Redis) -> None:
    try:
        # From the beginning: `$` would skip what was published before.
        streams.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
    except redis.ResponseError as error:
        if "BUSYGROUP" not in str(error):
            raise


def next_entries(streams: redis.Redis, position: str) -> list:
    """Of ours that are pending ("0"), of those that a consumer left behind, or new ones."""
    if position == ">":
        left_behind = streams.xautoclaim(STREAM, GROUP, CONSUMER, CLAIM_IDLE_MS, count=10)[1]
        if left_behind:
            return left_behind
    found = streams.xreadgroup(GROUP, CONSUMER, {STREAM: position}, count=10, block=1000)
    return found[0][1] if found else []


def main() -> None:
    signal.signal(signal.SIGTERM, stop)
    # A foreign entry may have bytes that are no UTF-8.
    streams = redis.Redis.from_url(
        os.environ["REDIS_URL"], decode_responses=True, encoding_errors="replace", protocol=2, socket_timeout=10
    )
    database = Database(os.environ["DATABASE_URL"])
    # Our own pending entries first: read before a crash, and never acknowledged.
    position, is_group_there = "0", False
    while running:
        try:
            if not is_group_there:
                create_group(streams)
                is_group_there = True
            entries = next_entries(streams, position)
            for entry_id, fields in entries:
                if not running:
                    break
                attempt(streams, database, entry_id, fields)
            if position == "0" and not entries:
                position = ">"
        except (psycopg.Error, redis.RedisError) as error:
            # A server is down, or could not do it now: nothing was acknowledged, so it comes again.
            print(f"trying again: {error}", flush=True)
            position, is_group_there = "0", False
            time.sleep(1)


if __name__ == "__main__":
    main()
