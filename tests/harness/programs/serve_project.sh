#!/bin/sh
# serve_project.sh DIRECTORY VERSION: make a repository of it, release its component, for git to clone; print the commit.
mkdir -p /srv/gitlab/nix-autocache/work
cp -r "$1/." /srv/gitlab/nix-autocache/work
cd /srv/gitlab/nix-autocache/work || exit
git init -q -b main
git config gc.auto 0 # it would remove files while the clone below copies them
git config maintenance.auto false
git add -A
git commit -qm release
tools/release_component "$2" >/dev/null
git clone -q --bare . ../nix-autocache.git
git -C ../nix-autocache.git config uploadpack.allowFilter true
git -C ../nix-autocache.git config uploadpack.allowAnySHA1InWant true
git rev-parse HEAD
