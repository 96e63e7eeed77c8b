#!/bin/sh
# busybox.sh OUT
# Makes OUT, a static busybox with the account tools that Alpine's has and Debian's lacks, from Debian's source.
set -eu
out=$1
cd "$(mktemp -d)"
sed -n 's/^deb /deb-src /p' /etc/apt/sources.list >/etc/apt/sources.list.d/source.list
apt-get -qq update
apt-get -qq -o APT::Sandbox::User=root source --download-only busybox
tar -xf busybox_*.orig.tar.bz2
cd busybox-*/
make -s allnoconfig >/dev/null
for name in STATIC ADDUSER ADDGROUP DELUSER DELGROUP FEATURE_ADDUSER_TO_GROUP FEATURE_DEL_USER_FROM_GROUP \
  FEATURE_SHADOWPASSWDS; do
  sed -i "s/^# CONFIG_$name is not set/CONFIG_$name=y/" .config
done
# What Kconfig proposes; allnoconfig makes every number 0.
sed -i '/_SYSTEM_ID=/d; /_LAST_ID=/d' .config
cat >>.config <<'END'
CONFIG_FIRST_SYSTEM_ID=100
CONFIG_LAST_SYSTEM_ID=999
CONFIG_LAST_ID=60000
END
yes "" | make -s oldconfig >/dev/null
make -s -j"$(nproc)" busybox_unstripped >/dev/null 2>&1
cp busybox_unstripped "$out"
