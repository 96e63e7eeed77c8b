#!/bin/sh
# The builder of a Python as nixpkgs has it: no pip but the wheel for virtual environments, and no other packages.
set -eu
PATH=/usr/bin:/bin
version=$(readlink /usr/bin/python3)
# shellcheck disable=SC2154 # Nix sets it
mkdir -p "$out/bin" "$out/lib"
cp "/usr/bin/$version" "$out/bin/"
ln -s "$version" "$out/bin/python3"
cp -rL "/usr/lib/$version" "$out/lib/"
rm -rf "$out/lib/$version/test" "$out/lib/$version"/config-*
find "$out" -name __pycache__ -prune -exec rm -r {} +
"$out/bin/python3" -IBm compileall -qf --invalidation-mode unchecked-hash "$out/lib"
mkdir "$out/lib/$version/ensurepip/_bundled"
cp /usr/share/python-wheels/pip-*.whl "$out/lib/$version/ensurepip/_bundled/"
