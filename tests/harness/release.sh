#!/bin/bash
# release.sh VERSION SYSTEM OUT
# Makes OUT/nix-VERSION-SYSTEM.tar.xz, laid out as the publisher's, from this machine's Debian Nix (see release.py).
# The libc family stays the machine's: a dynamic loader and its libc must be of one build.
set -euo pipefail
version=$1 system=$2 out=$3
export NIX_CONFIG='build-users-group =
substituters =
experimental-features = nix-command'
libc='/(ld-linux[^/]*|lib(c|m|dl|rt|util|anl|resolv|pthread|nsl)\.so\.[0-9]+)$'

tree=$(mktemp -d)
mkdir -p "$tree/bin" "$tree/lib" "$tree/libexec" "$tree/etc/profile.d"
cp -a /usr/bin/nix /usr/bin/nix-* "$tree/bin/"
[ ! -d /usr/libexec/nix ] || cp -a /usr/libexec/nix "$tree/libexec/"
ldd /usr/bin/nix | sed -n 's/.*=> \(\/[^ ]*\).*/\1/p' | grep -vE "$libc" | xargs -I{} cp -L {} "$tree/lib/"
for profile in nix-profile.sh nix.sh; do
  [ ! -e "/usr/share/doc/nix-bin/examples/$profile" ] ||
    cp "/usr/share/doc/nix-bin/examples/$profile" "$tree/etc/profile.d/nix.sh"
done
origin=\$ORIGIN
patchelf --set-rpath "$origin/../lib" "$tree/bin/nix"
find "$tree/lib" -type f -exec chmod u+w {} + -exec patchelf --set-rpath "$origin" {} \;

# The oldest Nix has the place of its build hook compiled in and, unlike those after it, cannot build without.
if [ -e /usr/lib/nix/libnixstore.so ]; then
  mv "$tree/bin/nix" "$tree/bin/.nix-wrapped"
  cat >"$tree/bin/nix" <<'END'
#!/bin/bash
here=$(readlink -f "$0")
release=${here%/bin/*}
export NIX_LIBEXEC_DIR=$release/libexec
exec -a "$0" "$release/bin/.nix-wrapped" "$@"
END
  chmod +x "$tree/bin/nix"
fi

certificates=$(mktemp -d)
install -D /etc/ssl/certs/ca-certificates.crt "$certificates/etc/ssl/certs/ca-bundle.crt"

nix=$(nix store add-path --name "nix-$version" "$tree")
cacert=$(nix store add-path --name nss-cacert-1 "$certificates")

release=$(mktemp -d)/nix-$version-$system
mkdir -p "$release/store"
cp -a "$nix" "$cacert" "$release/store/"
nix-store --dump-db "$nix" "$cacert" >"$release/.reginfo"
cat >"$release/install" <<END
#!/bin/sh
# The publisher's installer names its two paths so; this one names them, and installs nothing.
nix="$nix"
cacert="$cacert"
echo "a release for tests: \$nix, \$cacert" >&2
exit 1
END
chmod +x "$release/install"
tar -C "${release%/*}" --owner=0 --group=0 -c "${release##*/}" | xz -T0 -1 >"$out/nix-$version-$system.tar.xz"
