#!/bin/sh
# Lists every file by name, mode, owner and, for configuration, content, then the number of mounts.
# Left out are Nix's own memory of builds, and what stays for the next job on purpose: the environment of packages,
# the embedded cache and its key.
cd / || exit
find etc nix var/lib usr/local home root run -xdev \
  -not -path 'nix/var/log/*' -not -path 'nix/var/nix/db*' -not -path 'nix/store/.links/*' \
  -not -path '*/gcroots/auto/*' -not -path 'nix/var/nix/gc-socket*' \
  -not -path '*/.cache*' -not -path '*/.local/share*' -not -path 'run/sudo*' -not -path 'var/lib/sudo*' \
  -not -name '*.lock' -not -path 'run/log*' -not -path 'etc/*-' \
  -printf '%y %m %U:%G %p %l\n' | sort
find etc -type f -not -name '*-' -print0 | sort -z | xargs -0 md5sum
mount | wc -l
