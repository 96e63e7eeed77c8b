#!/bin/sh
# shellcheck disable=SC1091,SC2012,SC2154,SC2254,SC3067 # busybox and dash have -O; the template puts these scripts together
# nix-autocache: find this job's directory, and run the program
# Succeeds if $1 is a directory of this user, not a link, whose mode matches the pattern $2.
nix_autocache_is_ours() {
  if [ ! -d "$1" ] || [ -h "$1" ] || [ ! -O "$1" ]; then return 1; fi
  case $(ls -ld "$1") in
    $2) ;;
    *) return 1 ;;
  esac
}
# Its files are run, and others can guess its name in /tmp. So it must be ours and closed to them, or we do not use it.
# GitLab's own directory beside the project comes first, unless others may write there.
nix_autocache_find_job() {
  for nix_autocache_job in "$CI_PROJECT_DIR.tmp" "${TMPDIR:-/tmp}"; do
    if [ "$nix_autocache_job" != "$CI_PROJECT_DIR.tmp" ] || nix_autocache_is_ours "$nix_autocache_job" 'd????-??-*'; then
      nix_autocache_job=$nix_autocache_job/nix-autocache-$CI_JOB_ID
      if [ "$1" = make ]; then mkdir -m 700 "$nix_autocache_job" 2>/dev/null || :; fi
      if nix_autocache_is_ours "$nix_autocache_job" 'drwx------*'; then return; fi
    fi
  done
  return 1
}
# Prints the names of this environment's variables that begin with one of these words.
nix_autocache_names() {
  env | while IFS='=' read -r nix_autocache_name _; do
    for nix_autocache_prefix in "$@"; do
      case $nix_autocache_name in
        *[!A-Z0-9_]*) ;; # a line of a longer value
        "$nix_autocache_prefix"*) echo "$nix_autocache_name" ;;
      esac
    done
  done
}
nix_autocache() (
  umask 022 # otherwise others could change the compiled Python files
  # The job's own Python settings must not change what is imported.
  for nix_autocache_name in $(nix_autocache_names PYTHON NIX_PYTHON); do
    unset "$nix_autocache_name"
  done
  nix_autocache_find_job use || exit 3
  . "$nix_autocache_job/tool"
  export nix_autocache_job nix_autocache_inputs nix_autocache_template RUNNER_TOOL_CACHE="$nix_autocache_tools" PYTHONUTF8=1
  export PYTHONPATH="$nix_autocache_source" PYTHONPYCACHEPREFIX="$nix_autocache_tools/nix-autocache/bytecode"
  exec "$nix_autocache_python" -sP -m nix_autocache.cli.bootstrap "$@"
)
