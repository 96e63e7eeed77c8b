#!/bin/sh
# A whole job in a container that has the store read-only and the daemon of the machine around it.
mount -t proc proc /proc
mount -t tmpfs tmpfs /etc/nix
mount -t tmpfs tmpfs /var/lib
for part in /nix/store /nix/var/nix/db; do
  mount --bind $part $part
  mount -o remount,ro,bind $part
done
export NIX_REMOTE=daemon
python3 -sP -m nix_autocache.cli.bootstrap setup
nix-build --no-out-link --expr "$EXPRESSION"
python3 -sP -m nix_autocache.cli.bootstrap finish
