# shellcheck shell=bash
# One host: an overlay on the shared root, its writable half a tmpfs of its own, booted by systemd-nspawn with its own
# systemd as pid 1. All of this runs inside the lab's namespaces.

host_dir() { printf '%s/hosts/lab%s\n' "$DIR" "$1"; }

# What a provider's installer does before the first boot: disk, name, keys.
host_make() { # host_make NUMBER DISK ADDRESS...
  local number=$1 disk=$2 dir root server
  shift 2
  dir=$(host_dir "$number")
  root=$dir/root
  mkdir -p "$dir/disk" "$root"
  mount -t tmpfs -o "size=$disk,mode=755" "lab$number" "$dir/disk"
  mkdir "$dir/disk/upper" "$dir/disk/work"
  chmod 755 "$dir/disk/upper"
  mount -t overlay -o "lowerdir=/run/lower/root,upperdir=$dir/disk/upper,workdir=$dir/disk/work,redirect_dir=on" "lab$number" "$root"
  printf 'lab%s\n' "$number" >"$root/etc/hostname"
  printf '127.0.0.1 localhost\n127.0.1.1 lab%s\n::1 localhost ip6-localhost ip6-loopback\n' "$number" >"$root/etc/hosts"
  # Where it is a link into /run (Ubuntu 22.04) what runs on the host would write over it.
  rm -f "$root/etc/resolv.conf"
  for server; do printf 'nameserver %s\n' "$server"; done >"$root/etc/resolv.conf"
  install -d -m 0700 "$root/root/.ssh"
  install -m 0600 "$DIR/key.pub" "$root/root/.ssh/authorized_keys"
  if host_is_busybox "$number"; then busybox_host_key "$number"; return; fi
  ssh-keygen -A -f "$root" >/dev/null 2>&1
  sed -i "s/ root@.*/ root@lab$number/" "$root"/etc/ssh/ssh_host_*_key.pub
  cut -d' ' -f1,2 "$root/etc/ssh/ssh_host_ed25519_key.pub" >"$dir/host_key"
}

# The cgroups of this lab, one for each hierarchy that systemd uses.
lab_cgroups() {
  local line path
  while IFS=: read -r _ line path; do
    case $line in
      name=systemd) path=/sys/fs/cgroup/systemd$path ;;
      '') if [ -e /sys/fs/cgroup/cgroup.controllers ]; then path=/sys/fs/cgroup$path; else path=/sys/fs/cgroup/unified$path; fi ;;
      *) continue ;;
    esac
    [ -d "$path" ] || continue
    path=${path%/}/plumbline-lab-$LAB
    mkdir -p "$path"
    printf '%s\n' "$path"
  done </proc/self/cgroup
}

# Keeps one host running until it powers off or dies: a reboot (nspawn says 133) gets a fresh kernel's network.
host_keep() {
  local number=$1 dir status more
  dir=$(host_dir "$number")
  while :; do
    host_plug "$number"
    host_heal "$number"
    (
      while read -r group; do
        mkdir -p "$group/lab$number"
        printf '%s\n' $BASHPID >"$group/lab$number/cgroup.procs"
      done <"$DIR/cgroups"
      if host_is_busybox "$number"; then busybox_run "$number"; fi
      # /tmp is on the disk, as Debian 12 has it; of the sysctls only the network's are a host's own.
      export SYSTEMD_NSPAWN_TMPFS_TMP=0 SYSTEMD_NSPAWN_API_VFS_WRITABLE=network
      more=()
      # systemd 256 and newer boot on the older cgroups only when they are told to.
      if [ ! -e /sys/fs/cgroup/cgroup.controllers ]; then more=(SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1); fi
      exec systemd-nspawn --quiet --directory="$dir/root" --machine="lab$number" --register=no --keep-unit --boot \
        --console=read-only --capability=CAP_NET_ADMIN --network-namespace-path="$(host_pin "$number")" \
        --resolv-conf=off --timezone=off "${more[@]}"
    ) &
    printf '%s\n' $! >"$dir/nspawn.pid"
    status=0
    wait $! || status=$?
    [ "$status" = 133 ] || break
    printf -- '--- reboot ---\n'
  done
  host_unplug "$number"
  rm -f "$dir/nspawn.pid"
}

host_boot() {
  local dir
  dir=$(host_dir "$1")
  ! host_up "$1" || return 0
  setsid bash "$DIR/code/lab" _keep "$LAB" "$1" </dev/null >>"$dir/console" 2>&1 &
  for _ in {1..200}; do [ ! -s "$dir/nspawn.pid" ] || break; sleep 0.02; done
}

# Waits for sshd (or the socket systemd holds for it), whatever its port and whatever the firewall says. It looks and does
# not connect: a connection without a login would be in the host's log, for fail2ban to count.
host_listening() { # NUMBER SECONDS
  local end=$((SECONDS + $2))
  until nsenter --net="$(host_pin "$1")" ss -Hltnp 2>/dev/null | grep -qE '"(sshd|systemd|dropbear)"'; do
    host_up "$1" || die "$UNAVAILABLE" "host lab$1" "it went off while booting" "lab console $1"
    [ $SECONDS -lt $end ] || die "$TRY_AGAIN" "host lab$1" "nothing listens for ssh after $2 s" "lab console $1"
    sleep 0.05
  done
}

host_up() {
  local pid
  { read -r pid <"$(host_dir "$1")/nspawn.pid"; } 2>/dev/null && [ -n "$(start_time "$pid")" ]
}

host_init() { pgrep -P "$(cat "$(host_dir "$1")/nspawn.pid")" | head -n 1; }

# Power loss: first the line goes silent, so that no peer hears a goodbye, then everything stops at once.
host_kill() {
  local dir
  dir=$(host_dir "$1")
  host_up "$1" || return 0
  host_cut "$1"
  kill -KILL "$(host_init "$1")"
  for _ in {1..500}; do [ -e "$dir/nspawn.pid" ] || break; sleep 0.02; done
  host_heal "$1"
}

host_exec() {
  local number=$1 init
  shift
  host_up "$number" || die "$UNAVAILABLE" "host lab$number" "it is off" "lab boot $number"
  init=$(host_init "$number")
  exec nsenter -t "$init" --mount --uts --ipc --net --pid --cgroup --root --wd -- \
    env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 TERM="${TERM:-dumb}" "$@"
}
