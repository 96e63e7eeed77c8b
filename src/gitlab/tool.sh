#!/bin/sh
# shellcheck disable=SC1091,SC2154 # the template puts these scripts together
# nix-autocache: where this job's part of it lies, and how it is run
nix_autocache_job=${TMPDIR:-/tmp}/nix-autocache-$CI_JOB_ID
nix_autocache() (
  umask 022 # or others could change the compiled Python that this makes
  # The job's own Python settings must not change what is imported.
  for nix_autocache_name in $(env | sed -n 's/^\(PYTHON[A-Z0-9_]*\)=.*/\1/p'); do
    unset "$nix_autocache_name"
  done
  . "$nix_autocache_job/tool"
  export nix_autocache_job nix_autocache_inputs RUNNER_TOOL_CACHE="$nix_autocache_tools" PYTHONUTF8=1
  export PYTHONPATH="$nix_autocache_source" PYTHONPYCACHEPREFIX="$nix_autocache_tools/nix-autocache/bytecode"
  exec "$nix_autocache_python" -sP -m nix_autocache.bootstrap "$@"
)
