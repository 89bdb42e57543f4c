#!/usr/bin/env python3
"""What Redis's newer commands cost beside those that Outflow uses: CPU time of the server for each
entry, which a busy machine changes less than it changes the time on the clock.

    scripts/fetch-server.sh redis 8.6
    scripts/redis-commands.py target/servers/redis-8.6/bin/redis-server

It starts a Redis of its own and prints the medians of five runs. docs/compatibility.md says what
follows from them."""

import socket
import statistics
import subprocess
import sys
import tempfile
import time

ENTRIES = 100_000
RUNS = 5
PAYLOAD = '{"order":"12345678","customer":"c-000123","items":[{"sku":"A1","n":2}],"total":"129.95"}'
FIELDS = ["id", "00000000", "key", "customer-123", "type", "OrderPlaced", "payload", PAYLOAD]
# What the relay's script does for a batch, without what it proves.
SCRIPT = """
redis.call('HSET', KEYS[1], 'last', '1')
local command, at = {'XADD', KEYS[2], '*'}, 2
for _ = 1, tonumber(ARGV[1]) do
  for field = 4, 11 do command[field] = ARGV[at]; at = at + 1 end
  redis.pcall(unpack(command))
end
return 'OK'
"""


class Redis:
    """A connection that speaks the second version of the protocol."""

    def __init__(self, port):
        for _ in range(100):
            try:
                self.socket = socket.create_connection(("127.0.0.1", port))
                break
            except ConnectionRefusedError:
                time.sleep(0.05)
        self.file = self.socket.makefile("rb")

    def reply(self):
        line = self.file.readline()
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            raise SystemExit(f"Redis refused a command: {rest.decode()}")
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self.file.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return None if rest == b"-1" else [self.reply() for _ in range(int(rest))]
        return rest

    def call(self, *command):
        self.socket.sendall(encoded(*command))
        return self.reply()

    def cpu(self):
        lines = self.call("INFO", "cpu").decode().splitlines()
        values = dict(line.split(":") for line in lines if ":" in line)
        return float(values["used_cpu_user"]) + float(values["used_cpu_sys"])

    def send(self, commands, at_once):
        for start in range(0, len(commands), at_once):
            part = commands[start : start + at_once]
            self.socket.sendall(b"".join(part))
            for _ in part:
                self.reply()


def encoded(*command):
    words = [word if isinstance(word, bytes) else str(word).encode() for word in command]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)


def batches(ids, size):
    return [ids[start : start + size] for start in range(0, len(ids), size)]


def run(redis):
    """One run: microseconds of CPU for each entry, by the name of the way."""
    costs = {}

    def measure(name, commands, at_once):
        before = redis.cpu()
        redis.send(commands, at_once)
        costs[name] = (redis.cpu() - before) * 1e6 / ENTRIES

    def add(name, commands, at_once=200):
        redis.call("DEL", "stream")
        measure(name, commands, at_once)

    def read():
        """Fills the stream, and reads all of it as a group."""
        redis.call("DEL", "stream")
        redis.send([encoded("XADD", "stream", "*", *FIELDS)] * ENTRIES, 200)
        redis.call("XGROUP", "CREATE", "stream", "group", "0")
        ids = []
        ask = ("XREADGROUP", "GROUP", "group", "me", "COUNT", 1000, "STREAMS", "stream", ">")
        while found := redis.call(*ask):
            ids += [entry[0] for entry in found[0][1]]
        return ids

    def trim(name, ids, *option):
        ends = [batch[-1] for batch in batches(ids, 10_000)]
        measure(name, [encoded("XTRIM", "stream", "MINID", "~", end, *option) for end in ends], 1)

    one = encoded("XADD", "stream", "*", *FIELDS)
    add("XADD", [one] * ENTRIES)
    transaction = [encoded("MULTI"), *[one] * 200, encoded("HSET", "j", "last", 1), encoded("EXEC")]
    add("XADD, 200 in MULTI … EXEC", transaction * (ENTRIES // 200), len(transaction))
    sha = redis.call("SCRIPT", "LOAD", SCRIPT)
    script = encoded("EVALSHA", sha, 2, "j", "stream", 200, *FIELDS * 200)
    add("XADD, 200 in a script", [script] * (ENTRIES // 200), 1)
    known = [
        encoded("XADD", "stream", "IDMP", "relay", number, "*", *FIELDS)
        for number in range(ENTRIES)
    ]
    add("XADD IDMP", known)

    ids = read()
    parts = batches(ids, 100)
    measure("XACK", [encoded("XACK", "stream", "group", *part) for part in parts], 10)
    trim("XTRIM MINID ~", ids)
    ids = read()
    redis.send([encoded("XACK", "stream", "group", *part) for part in batches(ids, 100)], 10)
    trim("XTRIM MINID ~ ACKED", ids, "ACKED")
    ids = read()
    acked = [
        encoded("XACKDEL", "stream", "group", "ACKED", "IDS", len(part), *part)
        for part in batches(ids, 100)
    ]
    measure("XACKDEL ACKED", acked, 10)
    return costs


def main():
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as directory:
        server = subprocess.Popen(
            [sys.argv[1], "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", directory],
            stdout=subprocess.DEVNULL,
        )
        try:
            redis = Redis(port)
            runs = [run(redis) for _ in range(RUNS)]
        finally:
            server.terminate()
            server.wait()
    for name in runs[0]:
        of = sorted(costs[name] for costs in runs)
        print(f"{name:28}{statistics.median(of):6.2f} us an entry  ({of[0]:.2f} to {of[-1]:.2f})")


main()
