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
  size=$(stat --format=%s "$from/$name.png")
  if ((size > bytes_max)); then
    echo "$from/$name.png has $size bytes, more than $bytes_max: show less of the page" >&2
    exit 1
  fi
  cp "$from/$name.png" "docs/images/console-$name.png"
done
