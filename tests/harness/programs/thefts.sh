#!/bin/sh
# Ways to a provisioned machine's key; each prints the key if it succeeds.
set +e
cat /etc/nix-autocache/* /run/credentials/*/* /run/nix-autocache/credentials/* /etc/nix-autocache.toml
for process in /proc/[0-9]*; do
  cat "$process/environ" "$process/cmdline"
  timeout 1 cat "$process"/fd/* </dev/null
done
cat /etc/nix/* /var/lib/nix-autocache/* /var/lib/nix-autocache/*/* /var/lib/nix-autocache/jobs/*/*
journalctl --no-pager
systemctl show nix-autocache.service
echo 'every way was tried'
