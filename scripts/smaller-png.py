"""Packs a PNG of text and lines as small as zlib can, pixel for pixel: smaller-png.py FROM TO

Browsers pack fast, and filter rows as is best for photographs.
"""

import struct
import sys
import zlib


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def paeth(a, b, c):
    p = a + b - c
    near = min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))
    return near[2]


def unfiltered(data, row_bytes, pixel_bytes):
    rows, before = [], bytearray(row_bytes)
    for start in range(0, len(data), row_bytes + 1):
        kind, row = data[start], bytearray(data[start + 1 : start + 1 + row_bytes])
        for i in range(row_bytes):
            if kind == 0:
                break
            left = row[i - pixel_bytes] if i >= pixel_bytes else 0
            corner = before[i - pixel_bytes] if i >= pixel_bytes else 0
            up = before[i]
            guess = {1: left, 2: up, 3: (left + up) // 2}.get(kind)
            row[i] = (row[i] + (paeth(left, up, corner) if guess is None else guess)) & 255
        rows.append(b"\0" + bytes(row))
        before = row
    return b"".join(rows)


def main(source, target):
    data = open(source, "rb").read()
    at, packed = 8, b""
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        body = data[at + 8 : at + 8 + size]
        at += 12 + size
        if kind == b"IHDR":
            header = body
        elif kind == b"IDAT":
            packed += body
    width, _height, depth, colors, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    pixel_bytes = {2: 3, 6: 4}[colors]
    assert (depth, interlaced) == (8, 0), "a picture of a browser"
    plain = unfiltered(zlib.decompress(packed), width * pixel_bytes, pixel_bytes)
    with open(target, "wb") as out:
        out.write(data[:8] + chunk(b"IHDR", header))
        out.write(chunk(b"IDAT", zlib.compress(plain, 9)) + chunk(b"IEND", b""))


main(*sys.argv[1:])
