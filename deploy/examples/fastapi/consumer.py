"""Sends a welcome mail for each new customer, once: the mail is a row, written in one transaction with a row of the inbox."""

import json
import os
import signal
import socket
import time

import psycopg
import redis

STREAM, GROUP = "events.customer", "welcome"
# The same after a restart, so that it finds what it had begun.
CONSUMER = os.environ.get("CONSUMER", socket.gethostname())

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


def main() -> None:
    signal.signal(signal.SIGTERM, stop)
    streams = redis.Redis.from_url(os.environ["REDIS_URL"], decode_responses=True, protocol=2)
    database = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)
    database.execute(TABLES)
    try:
        # From the beginning: `$` would skip what was published before.
        streams.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
    except redis.ResponseError as error:
        if "BUSYGROUP" not in str(error):
            raise
    # Our own pending entries first ("0"): read before a crash, and never acknowledged.
    position = "0"
    while running:
        found = streams.xreadgroup(GROUP, CONSUMER, {STREAM: position}, count=10, block=1000)
        entries = found[0][1] if found else []
        for entry_id, fields in entries:
            if not running:
                break
            try:
                # None: deleted from the stream while it was pending.
                if fields:
                    handle(database, fields)
            except psycopg.Error as error:
                # Not acknowledged, so that it comes again. A real one counts attempts and has dead letters.
                print(f"{entry_id}: {error}", flush=True)
                position = "0"
                time.sleep(1)
                break
            # Only now: the effect is committed.
            streams.xack(STREAM, GROUP, entry_id)
        else:
            if position == "0" and not entries:
                position = ">"


if __name__ == "__main__":
    main()
