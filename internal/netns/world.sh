# SPDX-License-Identifier: Apache-2.0
# The first process of a world. It makes the world, says so, and stays until its input ends: then the system ends all others.
# In the environment: NAME, ADDRESS (or nothing), HOSTS (text of the file). Arguments: folders to hide.
set -eu
over() { # FILE TEXT: puts a text in the place of a file, which may be a link into a folder that is no longer there
  local own=/run/world/${1##*/} to
  printf '%s' "$2" >"$own"
  to=$(readlink -m "$1")
  [ -e "$to" ] || case $to in /run/*) mkdir -p "${to%/*}" && : >"$to" ;; *) return 0 ;; esac
  mount --bind "$own" "$to"
}

mount --make-rprivate /
mount -t proc -o nosuid,nodev,noexec proc /proc
for dir; do
  mount -t tmpfs -o ro,mode=555,size=4k hidden "$dir"
done
mount -t tmpfs -o mode=755 run /run
mkdir /run/world /run/lock
over /etc/hosts "$HOSTS"
over /etc/resolv.conf ""
hostname "$NAME"

ip link set lo up
if [ -n "$ADDRESS" ]; then
  # A pair of ends that lead to each other only. The route lets addresses that are rewritten on their way, those of services, leave.
  ip link add eth0 type veth peer name nowhere
  ip address add "$ADDRESS" dev eth0
  ip link set eth0 up
  ip link set nowhere up
  ip route add default dev eth0 src "${ADDRESS%/*}"
fi
echo made
exec >/dev/null
while read -r _; do :; done
