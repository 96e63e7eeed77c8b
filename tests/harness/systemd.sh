# shellcheck shell=bash disable=SC2154 # boot.sh sets `work` and `new`
# Sourced by boot.sh: makes systemd process 1 of the machine. It gets a control group of its own, below the host's
# unified hierarchy, and no units that have nothing to work on here.
groups=/sys/fs/cgroup
[ -e $groups/cgroup.controllers ] || groups=$groups/unified
mine=${work%/*}
mkdir -p "$groups/${mine##*/}"
echo 0 >"$groups/${mine##*/}/cgroup.procs"
for unit in tmp.mount console-getty.service getty@.service systemd-modules-load.service systemd-networkd.service; do
  ln -sf /dev/null "$new/etc/systemd/system/$unit"
done
mkdir -p "$new/run/systemd"
touch "$new/dev/console"
# shellcheck disable=SC2034 # boot.sh uses it
init=(
  unshare --cgroup /bin/bash -c '
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    mount --make-rshared / # as on any machine; a unit gets its credentials by a mount that spreads
    exec 3<&0
    (read -r _ <&3; systemctl poweroff --force --force) 1>&- 2>&- &
    echo ready
    exec /sbin/init --log-target=null 3<&- </dev/null >/dev/null 2>&1'
)
