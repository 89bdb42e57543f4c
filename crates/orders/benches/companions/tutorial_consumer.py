"""The tutorial's way: one entry at a time, its effect, its acknowledgement. With an inbox, so that both do the same."""

import json
import os

import psycopg
import redis

streams = redis.Redis.from_url(os.environ["REDIS_URL"], decode_responses=True, protocol=2)
database = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)
streams.xgroup_create("tutorial.load", "inventory", id="0")
while found := streams.xreadgroup("inventory", "one", {"tutorial.load": ">"}, count=1):
    entry_id, fields = found[0][1][0]
    order = json.loads(fields["payload"])
    with database.transaction():
        seen = database.execute(
            "insert into tutorial_inbox values ('inventory', %s) on conflict do nothing", (fields["id"],)
        )
        if seen.rowcount == 1:
            for item in order["items"]:
                database.execute(
                    "insert into tutorial_inventory values (%s, %s) on conflict (sku) "
                    "do update set reserved = tutorial_inventory.reserved + excluded.reserved",
                    (item["sku"], item["quantity"]),
                )
            database.execute("insert into tutorial_reservations values (%s, 'held')", (order["order_id"],))
    streams.xack("tutorial.load", "inventory", entry_id)
