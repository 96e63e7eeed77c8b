#!/bin/bash
# boot.sh ROOT WORK [ro|rw SOURCE TARGET]...
# First process of a machine (see machine.py), already in its own namespaces: lays a throwaway layer over ROOT,
# moves in, says "ready", and stays as the machine's init until its standard input closes.
# bash, because as process 1 it reaps whatever is orphaned; pivot_root, because a chroot is undone by a
# single-user Nix, which re-enters its mount namespace before it runs a hook.
set -eu
root=$1 work=$2
shift 2

mount -t tmpfs -o mode=755 tmpfs "$work"
mkdir "$work/upper" "$work/scratch" "$work/root"
new=$work/root
mount -t overlay -o "lowerdir=$root,upperdir=$work/upper,workdir=$work/scratch" overlay "$new"

mount -t proc proc "$new/proc"
mount -t sysfs -o ro sysfs "$new/sys"
for directory in tmp run dev; do
  mount -t tmpfs -o mode=755 tmpfs "$new/$directory"
done
chmod 1777 "$new/tmp"

for node in null zero full random urandom tty; do
  touch "$new/dev/$node"
  mount --bind "/dev/$node" "$new/dev/$node"
done
mkdir "$new/dev/pts" "$new/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$new/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$new/dev/shm"
ln -s pts/ptmx "$new/dev/ptmx"
ln -s /proc/self/fd "$new/dev/fd"
for stream in 0:stdin 1:stdout 2:stderr; do
  ln -s "/proc/self/fd/${stream%%:*}" "$new/dev/${stream#*:}"
done

while [ $# -gt 0 ]; do
  access=$1 source=$2 target=$new$3
  shift 3
  if [ -d "$source" ]; then
    mkdir -p "$target"
  else
    mkdir -p "${target%/*}"
    touch "$target"
  fi
  mount --bind "$source" "$target"
  [ "$access" = rw ] || mount -o remount,bind,ro "$target"
done

hostname machine
rm -f "$new/etc/hosts" "$new/etc/hostname" "$new/etc/resolv.conf"
echo machine >"$new/etc/hostname"
echo "127.0.0.1 localhost machine" >"$new/etc/hosts"
: >"$new/etc/resolv.conf"
ip link set lo up

init=(/bin/bash -c 'echo ready; exec 1>&- 2>&-; read -r _')
# shellcheck disable=SC1090 # another process 1, see systemd.sh
[ -z "${INIT:-}" ] || . "$INIT"

mkdir "$new/.host"
cd "$new"
pivot_root . .host
umount -l /.host
rmdir /.host
cd /
# Nothing of the caller's environment may be read from /proc/1/environ.
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=harness "${init[@]}"
