#!/bin/sh
# shellcheck disable=SC1091,SC2154 # the template puts these scripts together
# nix-autocache: wait for the uploads, and clean up
nix_autocache_after=$(date +%s)
export nix_autocache_after
if ! nix_autocache_find_job use || [ ! -e "$nix_autocache_job/tool" ]; then
  echo "nix-autocache: nothing was set up in this job"
else
  if [ "${NIX_AUTOCACHE_ON_UPLOAD_FAILURE:-$nix_autocache_on_failure}" = fail ] && [ ! -e "$nix_autocache_job/ended" ]; then
    echo "nix-autocache: the script's end was not seen (does it set an EXIT trap?): a failed upload cannot fail this job" >&2
  fi
  nix_autocache finish || true # a failed after_script fails no job, and the commands after ours should still run
fi
if nix_autocache_find_job use; then rm -rf "$nix_autocache_job"; fi
