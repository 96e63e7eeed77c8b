#!/bin/sh
# shellcheck disable=SC2034 # the template and the action use what this finds
# nix-autocache: find a Python, or get one from Nix
# Only sh and what Nix itself comes with: the image nixos/nix has neither sed nor awk.
nix_autocache_is_new_enough() {
  "$1" -IBc 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 </dev/null
}
nix_autocache_find_python() {
  for nix_autocache_python in python3 python3.14 python3.13 python3.12 python3.11; do
    if nix_autocache_is_new_enough "$nix_autocache_python"; then
      nix_autocache_python=$(command -v "$nix_autocache_python")
      return
    fi
  done
  return 1
}
# Nix is not on PATH in every shell that no login made.
nix_autocache_find_nix() {
  for nix_autocache_bin in '' "${HOME:-/nonexistent}/.nix-profile/bin/" /nix/var/nix/profiles/default/bin/ /run/current-system/sw/bin/; do
    if command -v "${nix_autocache_bin}nix-build" >/dev/null; then return; fi
  done
  return 1
}
# The link $1 keeps it from garbage collection. Nix only downloads it: to compile one, here or on the machine's remote
# builders, would take longer than the job.
nix_autocache_python_of() {
  "${nix_autocache_bin}nix-build" --max-jobs 0 --builders '' --out-link "$1" --expr "(import $2 { config = { }; overlays = [ ]; }).python3" >/dev/null </dev/null &&
    nix_autocache_python=$(cd "$1/bin" && pwd -P)/python3 &&
    nix_autocache_is_new_enough "$nix_autocache_python"
}
# From this machine's nixpkgs, or else from a release of NixOS, whose packages are all in its cache. The hash is the one
# that Nix's own repository has for this tarball in its flake.lock.
nix_autocache_python_from_nix() {
  nix_autocache_find_nix || return
  nix_autocache_began=$(date +%s)
  echo "nix-autocache: there is no Python 3.11 or newer, so Nix gets one; an image that has it saves this time" >&2
  nix_autocache_pinned='(fetchTarball { url = "https://releases.nixos.org/nixos/26.05/nixos-26.05.9592.21a67dc47014/nixexprs.tar.xz"; sha256 = "sha256-eeH+/1GxEjw8NCObjaHVIy3YvCQ4Qckrx4LZj5xBaU4="; })'
  if ! { "${nix_autocache_bin}nix-instantiate" --find-file nixpkgs >/dev/null 2>&1 </dev/null && nix_autocache_python_of "$1" '<nixpkgs>'; }; then
    echo "nix-autocache: this machine's nixpkgs gives no Python; downloading nixpkgs of NixOS 26.05 for its own" >&2
    nix_autocache_python_of "$1" "$nix_autocache_pinned" || return
  fi
  nix_autocache_bytes=0
  # shellcheck disable=SC2046 # paths, and store paths have no spaces
  for nix_autocache_size in $("${nix_autocache_bin}nix-store" --query --size $("${nix_autocache_bin}nix-store" --query --requisites "$1")); do
    nix_autocache_bytes=$((nix_autocache_bytes + nix_autocache_size))
  done
  echo "nix-autocache: $nix_autocache_python took $(($(date +%s) - nix_autocache_began)) s; with what it needs it has $((nix_autocache_bytes / 1000000)) MB in the store" >&2
}
