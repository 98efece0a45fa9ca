# shellcheck shell=bash
# Other roots than Debian 12: `lab up 1 --root RECIPE`. Each is built at its first use and kept beside the default one.
#   debian-13   the same packages of the next release
#   ubuntu-22.04, ubuntu-24.04   the same packages of Ubuntu; 24.04 starts sshd by a socket
#   busybox     no systemd, no bash, no dpkg, no python: busybox as init, dropbear as sshd, adduser; as Alpine is

RECIPE=${LAB_RECIPE:-debian-12}
case $RECIPE in
  debian-13) RELEASE=trixie ;;
  ubuntu-22.04) RELEASE=jammy ;;
  ubuntu-24.04) RELEASE=noble ;;
esac
UBUNTU=${PLUMBLINE_LAB_UBUNTU_MIRROR:-http://archive.ubuntu.com/ubuntu}
# "Ubuntu Archive Automatic Signing Key (2018)": no package of Debian has it.
UBUNTU_KEY=F6ECB3762474EDA9D21B7022871920D1991BC93C

# What root.bash does for the default root; it is not edited for the others, because its text is part of that root's name.
eval "default_$(declare -f root_path)"
eval "default_$(declare -f root_make)"

root_path() {
  local hash
  if [ "$RECIPE" = debian-12 ]; then default_root_path; return; fi
  hash=$(cat "$LAB_HOME/parts/root.bash" "$LAB_HOME/parts/recipe.bash" "$LAB_HOME"/*.packages | sha256sum | cut -c1-12)
  printf '%s/%s-%s\n' "$CACHE" "$RECIPE" "$hash"
}

recipe_choose() {
  case $1 in
    debian-12 | debian-13 | ubuntu-22.04 | ubuntu-24.04 | busybox) ;;
    *) die "$USAGE" --root "no root is called $1" "debian-12, debian-13, ubuntu-22.04, ubuntu-24.04 or busybox" ;;
  esac
  export LAB_RECIPE=$1
  RECIPE=$1
}

root_make() {
  case $RECIPE in ubuntu-*) ubuntu_make "$@" ;; *) default_root_make "$@" ;; esac
}

# As root_make, for a distribution that this machine's own sources do not have.
ubuntu_make() {
  local temp=$1 root=$1/root include script=/usr/share/debootstrap/scripts/$RELEASE
  export LC_ALL=C DEBIAN_FRONTEND=noninteractive
  # All its releases are installed alike; an older debootstrap does not know the newer ones by name.
  [ -e "$script" ] || script=/usr/share/debootstrap/scripts/gutsy
  mkdir -m 0700 "$temp/gnupg"
  curl -fsS -o "$temp/all.gpg" "$UBUNTU/project/ubuntu-archive-keyring.gpg"
  gpg --homedir "$temp/gnupg" --batch --quiet --import "$temp/all.gpg"
  gpg --homedir "$temp/gnupg" --batch --quiet --export "$UBUNTU_KEY" >"$temp/ubuntu.gpg"
  [ -s "$temp/ubuntu.gpg" ]
  gpgconf --homedir "$temp/gnupg" --kill all
  include=$(packages root | sed 's/^ *//; s/ *$//' | tr ' ' ,)
  debootstrap --variant=minbase --components=main,universe --include="$include" --keyring="$temp/ubuntu.gpg" \
    "$RELEASE" "$root" "$UBUNTU" "$script"
  printf 'deb %s %s main universe\n' "$UBUNTU" "$RELEASE" "$UBUNTU" "$RELEASE-updates" "$UBUNTU" "$RELEASE-security" \
    >"$root/etc/apt/sources.list"
  : >"$root/etc/resolv.conf"
  mount --bind "$(readlink -f /etc/resolv.conf)" "$root/etc/resolv.conf"
  mount -t proc proc "$root/proc"
  chroot "$root" apt-get -q update
  chroot "$root" apt-get -qy --download-only install nginx-light jq tzdata
  rm -rf "$temp/gnupg" "$temp/all.gpg" "$temp/ubuntu.gpg"
  mkdir "$temp/dns"
  rm -f "$root"/etc/ssh/ssh_host_*_key* "$root"/var/lib/dbus/machine-id "$root/etc/hostname"
  : >"$root/etc/machine-id"
  printf 'LANG=C.UTF-8\n' >"$root/etc/default/locale"
  find "$root/var/log" -type f -delete
  umount "$root/proc" "$root/etc/resolv.conf"
  chmod 755 "$root"
}

# Prints the path of the chosen root, built now if it is not there.
recipe_ready() {
  if [ "$RECIPE" = busybox ]; then busybox_ready; else root_ready; fi
}

busybox_ready() {
  local path lock temp
  path=$(root_path)
  if [ ! -d "$path" ]; then
    mkdir -p "$CACHE"
    exec {lock}<"$CACHE"
    flock "$lock"
    if [ ! -d "$path" ]; then
      temp=$(mktemp -d "$CACHE/.busybox-XXXXXX")
      note "building the busybox root (once; seconds)"
      if ! busybox_make "$temp" >"$CACHE/busybox.log" 2>&1; then
        rm -rf --one-file-system "$temp"
        die "$UNAVAILABLE" root "the busybox root could not be built" "the whole log is $CACHE/busybox.log"
      fi
      mv "$temp" "$path"
    fi
    exec {lock}<&-
  fi
  touch "$path.used"
  printf '%s\n' "$path"
}

busybox_make() ( # a subshell: it goes into the directory of the packages
  set -e
  temp=$1 root=$1/root
  mkdir -p "$temp/debs" "$root"/{dev,proc,sys,run,tmp,root,home,etc/init.d,var/lib,var/log,usr/local/bin,usr/sbin,usr/bin,bin,sbin,lib}
  chmod 755 "$temp"
  chmod 1777 "$root/tmp" "$temp/debs"
  cd "$temp/debs"
  # dropbear and the libraries it needs; nothing is configured, and there is no package manager afterwards.
  apt-get -q download busybox-static dropbear-bin libc6 libcrypt1 libtomcrypt1 libtommath1 libgmp10 zlib1g
  for deb in *.deb; do dpkg-deb -x "$deb" "$root"; done
  rm -rf "$temp/debs" "$root"/usr/share/{doc,man,lintian}
  cp "$root/bin/busybox" "$root/bin/busybox.static" 2>/dev/null || true
  chroot "$root" /bin/busybox --install -s
  mknod -m 666 "$root/dev/null" c 1 3
  mknod -m 666 "$root/dev/zero" c 1 5
  mknod -m 666 "$root/dev/random" c 1 8
  mknod -m 666 "$root/dev/urandom" c 1 9
  mknod -m 666 "$root/dev/tty" c 5 0
  ln -s /proc/self/fd "$root/dev/fd"
  printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n' >"$root/etc/passwd"
  printf 'root:x:0:\nusers:x:100:\nnobody:x:65534:\n' >"$root/etc/group"
  (umask 077; printf 'root:*:19000:0:::::\nnobody:*:19000:0:::::\n' >"$root/etc/shadow")
  printf '/bin/sh\n/bin/ash\n' >"$root/etc/shells"
  printf 'ID=busybox\nNAME="busybox"\nVERSION_ID="1"\n' >"$root/etc/os-release"
  printf '::sysinit:/etc/init.d/rcS\n::respawn:/usr/sbin/dropbear -F -E -s -p 22\n' >"$root/etc/inittab"
  cat >"$root/etc/init.d/rcS" <<'RC'
#!/bin/sh
mount -t proc proc /proc
mount -t tmpfs -o mode=755 run /run
hostname -F /etc/hostname
RC
  chmod 755 "$root/etc/init.d/rcS"
  mkdir -p "$root/etc/dropbear"
  chroot "$root" /usr/sbin/dropbear -V
)

# Whether a host's root is the busybox one; seen from inside the lab.
host_is_busybox() { [ -e "$(host_dir "$1")/root/etc/dropbear" ] && [ ! -e "$(host_dir "$1")/root/usr/lib/systemd" ]; }

# The key by which the host is known, where it is dropbear's.
busybox_host_key() { # NUMBER
  local dir
  dir=$(host_dir "$1")
  chroot "$dir/root" /usr/bin/dropbearkey -t ed25519 -f /etc/dropbear/dropbear_ed25519_host_key 2>/dev/null |
    awk '/^ssh-ed25519 / { print $1, $2 }' >"$dir/host_key"
}

# busybox's init as process 1 of its own namespaces.
busybox_run() { # NUMBER
  exec unshare --mount --pid --fork --uts --ipc --kill-child --propagation private \
    nsenter --net="$(host_pin "$1")" chroot "$(host_dir "$1")/root" /sbin/init
}
