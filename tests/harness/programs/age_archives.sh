#!/bin/sh
# age_archives.sh DIRECTORY: make what the archives of earlier jobs hold two days older.
for archive in "$1"/*.tar; do
  if [ ! -e "$archive" ]; then continue; fi
  rm -rf /tmp/aged
  mkdir /tmp/aged
  tar -C /tmp/aged -xf "$archive"
  find /tmp/aged -name '*.narinfo' | while read -r file; do
    touch -d "@$(($(stat -c %Y "$file") - 2 * 86400))" "$file"
  done
  tar -C /tmp/aged -cf "$archive" .nix-autocache
done
