#!/bin/sh
# shellcheck disable=SC1091,SC2154 # the template puts these scripts together
# nix-autocache: set up
nix_autocache_stop() {
  echo "nix-autocache: $1" >&2
  exit "$2"
}
# Succeeds if only this user and root can change a directory, its content, and the path to it.
nix_autocache_is_only_ours() {
  nix_autocache_way=$(cd "$1" && pwd -P) || return 1
  set -- '(' -perm -020 -o -perm -002 ')' ! -perm -1000 -o ! -user 0 ! -user "$(id -u)"
  [ -z "$(find "$nix_autocache_way" ! -type l '(' "$@" ')' 2>&1 | head -n 1)" ] || return 1
  while [ "$nix_autocache_way" != / ]; do
    nix_autocache_way=$(dirname "$nix_autocache_way")
    [ -z "$(find "$nix_autocache_way" -prune '(' "$@" ')')" ] || return 1
  done
}
# Where others can write, the program is kept as a Git pack: reading it checks that each object's name is its hash.
nix_autocache_from_pack() {
  [ -f "$nix_autocache_kept/$nix_autocache_commit.pack" ] &&
    git init -q "$nix_autocache_fresh" &&
    git -C "$nix_autocache_fresh" unpack-objects -q <"$nix_autocache_kept/$nix_autocache_commit.pack" &&
    echo "$nix_autocache_commit" >"$nix_autocache_fresh/.git/shallow" &&
    git -C "$nix_autocache_fresh" -c advice.detachedHead=false checkout -q "$nix_autocache_commit"
}
nix_autocache_keep_pack() {
  nix_autocache_packed=$(mktemp "$nix_autocache_kept/.pack.XXXXXX") || return
  echo "$nix_autocache_commit" | git -C "$nix_autocache_fresh" pack-objects -q --revs --stdout >"$nix_autocache_packed" &&
    mv -f "$nix_autocache_packed" "$nix_autocache_kept/$nix_autocache_commit.pack"
}
# From a commit of a Git repository: git+URL@COMMIT. The commit's hash is the pin.
nix_autocache_from_git() {
  nix_autocache_commit=${1##*@}
  case ${#nix_autocache_commit}:$nix_autocache_commit in
    40:*[!0-9a-f]*) nix_autocache_commit= ;;
    40:*) ;;
    *) nix_autocache_commit= ;;
  esac
  [ -n "$nix_autocache_commit" ] ||
    nix_autocache_stop "install: '$1' does not end with @ and a whole commit of 40 hexadecimal digits" 2
  nix_autocache_source=$nix_autocache_tools/nix-autocache/$nix_autocache_commit/src
  if [ ! -d "$nix_autocache_source" ]; then
    nix_autocache_url=${1#git+}
    nix_autocache_fresh=$nix_autocache_tools/nix-autocache/.$nix_autocache_commit
    rm -rf "$nix_autocache_fresh"
    if ! nix_autocache_from_pack 2>/dev/null; then
      rm -rf "$nix_autocache_fresh"
      if ! git init -q "$nix_autocache_fresh" ||
        ! git -C "$nix_autocache_fresh" fetch -q --depth 1 -- "${nix_autocache_url%@*}" "$nix_autocache_commit" ||
        ! git -C "$nix_autocache_fresh" -c advice.detachedHead=false checkout -q "$nix_autocache_commit"; then
        nix_autocache_stop "install: commit $nix_autocache_commit cannot be fetched with git; see above" 3
      fi
      nix_autocache_keep_pack || true
    fi
    # Only the program, and no links: the runner takes a link that it unpacked for a change, and uploads its cache again.
    mkdir "$nix_autocache_fresh/.program"
    cp -RL "$nix_autocache_fresh/src" "$nix_autocache_fresh/.program/"
    echo "$nix_autocache_commit" >"$nix_autocache_fresh/.program/src/nix_autocache/commit.txt"
    mv "$nix_autocache_fresh/.program" "${nix_autocache_source%/src}"
    rm -rf "$nix_autocache_fresh"
  fi
}
# Of the settings for pip and uv, we honour index, proxy and certificates, but not PIP_USER and the like.
nix_autocache_only_the_index() {
  for nix_autocache_name in $(nix_autocache_names PYTHON PIP_ UV_); do
    case $nix_autocache_name in
      PIP_CONFIG_FILE | PIP_*INDEX* | PIP_FIND_LINKS | PIP_PROXY | PIP_*CERT | PIP_TRUSTED_HOST | PIP_*TIMEOUT | PIP_RETRIES | PIP_KEYRING_PROVIDER) ;;
      UV_CONFIG_FILE | UV_*INDEX* | UV_FIND_LINKS | UV_NATIVE_TLS | UV_SYSTEM_CERTS | UV_INSECURE_HOST | UV_HTTP_* | UV_OFFLINE | UV_KEYRING_PROVIDER) ;;
      *) unset "$nix_autocache_name" ;;
    esac
  done
  export PIP_USER=0 PIP_REQUIRE_VIRTUALENV=0 # these override pip's own file
}
# From the package index: a requirement with the hash of its wheel.
nix_autocache_from_index() {
  case $1 in
    *--hash=sha256:*) ;;
    *) nix_autocache_stop "install: '$1' has no --hash=sha256:…; give a requirement with a hash, git+URL@COMMIT, or a directory" 2 ;;
  esac
  nix_autocache_source=$nix_autocache_tools/nix-autocache/$(echo "$1" | cksum | tr ' ' -)
  if [ ! -d "$nix_autocache_source" ]; then
    echo "$1" >"$nix_autocache_job/requirement"
    set -- install --quiet --no-deps --require-hashes --only-binary :all: --target "$nix_autocache_source.new"
    if command -v uv >/dev/null; then
      set -- uv pip "$@" --no-cache --link-mode copy --python "$nix_autocache_python"
    else
      set -- "$nix_autocache_python" -BP -m pip "$@" --no-cache-dir --no-input --disable-pip-version-check
      # The Python of nixpkgs has pip only as a wheel for its virtual environments. pip runs from there as well.
      nix_autocache_wheels='import glob, sysconfig; print(*glob.glob(sysconfig.get_path("stdlib") + "/ensurepip/_bundled/pip-*.whl"))'
      "$nix_autocache_python" -IBm pip --version >/dev/null 2>&1 ||
        set -- env PYTHONPATH="$("$nix_autocache_python" -IBc "$nix_autocache_wheels")" "$@"
    fi
    rm -rf "$nix_autocache_source.new"
    (
      nix_autocache_only_the_index
      # Run in /, so that files of the project, such as uv.toml, have no effect.
      cd / && exec "$@" --requirement "$nix_autocache_job/requirement"
    ) || nix_autocache_stop "install: it cannot be installed; see above" 3
    mv "$nix_autocache_source.new" "$nix_autocache_source"
  fi
}
nix_autocache_from_directory() {
  nix_autocache_source=$(cd "$CI_PROJECT_DIR" && cd "$1" 2>/dev/null && pwd) || nix_autocache_stop "install: there is no directory $1" 2
  [ ! -d "$nix_autocache_source/src/nix_autocache" ] || nix_autocache_source=$nix_autocache_source/src
  [ -d "$nix_autocache_source/nix_autocache" ] || nix_autocache_stop "install: $1 holds no nix-autocache" 2
  # Copied, because after_script runs it again, and others' builds may have changed it by then.
  if ! nix_autocache_is_only_ours "$nix_autocache_source/nix_autocache"; then
    rm -rf "$nix_autocache_job/source"
    mkdir "$nix_autocache_job/source"
    cp -RL "$nix_autocache_source/nix_autocache" "$nix_autocache_job/source/"
    chmod -R go-w "$nix_autocache_job/source"
    nix_autocache_source=$nix_autocache_job/source
  fi
}
# Runs at the end of the script with on-upload-failure: fail, because the exit status of after_script fails no job.
nix_autocache_end() {
  nix_autocache_status=$?
  trap - EXIT
  : >"$nix_autocache_job/ended"
  nix_autocache_flushed=0
  nix_autocache flush || nix_autocache_flushed=$?
  [ "$nix_autocache_status" = 0 ] || exit "$nix_autocache_status"
  exit "$nix_autocache_flushed"
}
# Quotes a text as one word of shell.
nix_autocache_quoted() {
  nix_autocache_left=$1
  nix_autocache_right=
  while [ "$nix_autocache_left" != "${nix_autocache_left#*\'}" ]; do
    nix_autocache_right=$nix_autocache_right${nix_autocache_left%%\'*}"'\\''"
    nix_autocache_left=${nix_autocache_left#*\'}
  done
  printf "'%s'" "$nix_autocache_right$nix_autocache_left"
}
# Replaces $NAME and ${NAME} in a text with their values. The text itself is never run.
nix_autocache_expanded() {
  # shellcheck disable=SC2016 # it is Python
  "$nix_autocache_python" -IBc 'if True:
    import os, re, sys
    print(re.sub(r"\$(?:(\w+)|\{(\w+)\})", lambda found: os.environ.get(found[1] or found[2], ""), sys.argv[1]))' "$1"
}
nix_autocache_find_job make ||
  nix_autocache_stop "cannot make $nix_autocache_job for this user alone; is TMPDIR a directory that this user can write?" 3
# Root, too, runs what is made here until the end of the job, so others must not be able to change it.
nix_autocache_umask=$(umask)
umask 022
nix_autocache_tools=${RUNNER_TOOL_CACHE:-$CI_PROJECT_DIR/.nix-autocache/tools}
nix_autocache_kept=$nix_autocache_tools/nix-autocache
# GitLab's Docker executor clones and unpacks caches with umask 0. Nothing is run from such a directory.
if ! mkdir -p "$nix_autocache_kept" || ! nix_autocache_is_only_ours "$nix_autocache_kept"; then
  nix_autocache_tools=$nix_autocache_job/tools
  mkdir -p "$nix_autocache_tools/nix-autocache"
fi
# Older versions kept a signing key here, where derivations' sources and artifacts include it. A cache may still have it.
rm -rf "$CI_PROJECT_DIR"/.nix-autocache/signing-key* "$CI_PROJECT_DIR"/.nix-autocache/*/nix-autocache.pub || true
nix_autocache_find_python || nix_autocache_python_from_nix "$nix_autocache_job/python" ||
  nix_autocache_stop "Python 3.11 or newer is needed, and there is no Nix, or it could get none (see above): use an image that has it, or install it first, for instance with apk add python3 py3-pip" 3
nix_autocache_install=$(nix_autocache_expanded "$nix_autocache_install")
case $nix_autocache_install in
  git+*) nix_autocache_from_git "$nix_autocache_install" ;;
  /* | .*) nix_autocache_from_directory "$nix_autocache_install" ;;
  '') nix_autocache_stop "install: this copy of the template is not of a release, which has a default; give git+URL@COMMIT, or a directory" 2 ;;
  *) nix_autocache_from_index "$nix_autocache_install" ;;
esac
for nix_autocache_name in python source tools; do
  eval "nix_autocache_text=\$nix_autocache_$nix_autocache_name"
  # shellcheck disable=SC2154 # it was just given a value
  printf '%s\n' "nix_autocache_$nix_autocache_name=$(nix_autocache_quoted "$nix_autocache_text")"
done >"$nix_autocache_job/tool"
: >"$nix_autocache_job/environment"
nix_autocache setup || {
  nix_autocache_status=$?
  rm -rf "$nix_autocache_job"
  exit "$nix_autocache_status"
}
umask "$nix_autocache_umask"
. "$nix_autocache_job/environment"
if [ "${NIX_AUTOCACHE_ON_UPLOAD_FAILURE:-$nix_autocache_on_failure}" = fail ]; then
  trap nix_autocache_end EXIT
fi
