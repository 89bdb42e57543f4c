#!/usr/bin/env bash
# Makes the pictures of docs/console.md anew: runs the test that takes a picture of every page, long
# enough for plots with something in them, and copies those that the page shows.
set -euo pipefail
cd "$(dirname "$0")/.."

pictures=(overview overview-dark streams dead-letters)
bytes_max=120000

CONSOLE_PICTURES=1 cargo test --locked --test it console::browser::looks::every_page_has_its_picture
from=${CARGO_TARGET_DIR:-target}/console/docs
mkdir -p docs/images
for name in "${pictures[@]}"; do
  picture=docs/images/console-$name.png
  python3 scripts/smaller-png.py "$from/$name.png" "$picture"
  size=$(stat --format=%s "$picture")
  if ((size > bytes_max)); then
    echo "$picture has $size bytes, more than $bytes_max: show less of the page" >&2
    exit 1
  fi
done
