#!/bin/sh
# Nix's post-build-hook: notes what was just built in the queue of every job on this machine.
#
# It starts no program, prints nothing and exits 0 whatever happens: Nix shows its output to the user, waits for
# its standard output to close, and starts no further build once it failed. A rendered copy has the values below
# filled in. Hooks that others configured are called last, and may print. See queue/directory.py for the entries.

jobs=@jobs@
roots=@roots@

# A shell that imports functions from the environment could be given other ones by these names.
\unset -f printf set note
set -- @others@

note() {
    # The braces, because a failing redirection must not end the shell.
    {
        # shellcheck disable=SC2086 # OUT_PATHS is a list, and globbing is off
        for output in $OUT_PATHS; do
            printf '%s\n' "$output"
        done
        printf '.\n'
    } >"$1/queue/new/$name"

    # A file named as a store path, here, keeps that path from being collected while it waits.
    # shellcheck disable=SC2086
    for output in $OUT_PATHS; do
        printf '' >"$roots/${1##*/}/${output##*/}"
    done
}

main() {
    name=${DRV_PATH##*/}
    case $name in
        '' | .* | *[!0-9a-zA-Z+._?=-]*) return ;;
    esac
    for job in "$jobs"/*; do
        set -f
        note "$job"
        set +f
    done
}

# Who may change an entry is for us to say, and not for who started Nix: the uploader signs what it names.
umask 022
IFS=' '
main 2>&-
unset IFS
for other in "$@"; do
    "$other"
done
exit 0
