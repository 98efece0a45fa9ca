# shellcheck shell=bash
# The root that all hosts stand on: a Debian 12 made once by debootstrap and kept outside the clone. It is built in a
# directory of another name, in a mount and pid namespace that dies with the build, and renamed when whole: a half-built
# root is never used. This file and the two package lists are the recipe; their hash names the root.

CACHE=${PLUMBLINE_CACHE:-/var/cache/plumbline}/lab
RELEASE=bookworm

packages() { sed 's/#.*//' "$LAB_HOME/$1.packages" | tr -s '[:space:]' ' '; }

root_path() {
  local hash
  hash=$(cat "$LAB_HOME/parts/root.bash" "$LAB_HOME/root.packages" "$LAB_HOME/archive.packages" | sha256sum | cut -c1-12)
  printf '%s/debian-12-%s\n' "$CACHE" "$hash"
}

# The URIs of the machine's own apt sources, deb822 (enabled stanzas) and one-line, in order.
apt_uris() {
  local file
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*; do
    [ -f "$file" ] || continue
    case $file in
      *.sources) awk 'BEGIN { RS = ""; FS = "\n" }
        !/(^|\n)Enabled:[ \t]*no/ { for (i = 1; i <= NF; i++) if ($i ~ /^URIs:/) print substr($i, 6) }' "$file" ;;
      *.list) sed -nE 's/^[[:space:]]*deb[[:space:]]+(\[[^]]*\][[:space:]]+)?([^[:space:]]+).*/\2/p' "$file" ;;
    esac
  done | tr -s '[:space:]' '\n' | grep -E '^https?://' || true
}

mirror() { # mirror debian|debian-security
  local found
  found=$(apt_uris | grep -E "/$1/?\$" | head -n 1 || true)
  if [ "$1" = debian ]; then found=${PLUMBLINE_LAB_MIRROR:-$found}; fi
  found=${found:-http://deb.debian.org/$1}
  printf '%s\n' "${found%/}"
}

# root_ready [--refresh]: prints the path of the root, built now if it is not there.
root_ready() {
  local path lock
  path=$(root_path)
  if [ -d "$path" ] && [ "${1:-}" != --refresh ]; then touch "$path.used"; printf '%s\n' "$path"; return; fi
  mkdir -p "$CACHE/debs"
  exec {lock}<"$CACHE"
  if ! flock -n "$lock"; then note "another run builds the root; waiting for it"; flock "$lock"; fi
  if [ ! -d "$path" ] || [ "${1:-}" = --refresh ]; then root_build "$path" >&2; fi
  root_forget_old "$path"
  exec {lock}<&-
  touch "$path.used"
  printf '%s\n' "$path"
}

root_build() { # under the lock
  local path=$1 temp log=$CACHE/build.log start=$SECONDS
  if [ -d "$path" ] && ! flock -n "$path" true; then # --refresh, but not under the feet of a running lab
    die "$TRY_AGAIN" root "a running lab uses $path" "lab down --all"
  fi
  rm -rf --one-file-system "$CACHE"/.building-*
  temp=$(mktemp -d "$CACHE/.building-XXXXXX")
  chmod 755 "$temp"
  note "building the Debian 12 root from $(mirror debian) (once; a few minutes; log: $log)"
  if ! setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child --mount-proc --propagation slave \
    bash "$LAB_HOME/lab" _root_make "$temp" >"$log" 2>&1 </dev/null; then
    tail -n 15 "$log" >&2
    rm -rf --one-file-system "$temp"
    die "$UNAVAILABLE" root "the root could not be built" "the whole log is $log"
  fi
  if [ -d "$path" ]; then mv "$path" "$temp.old"; fi
  mv "$temp" "$path"
  rm -rf --one-file-system "$temp.old"
  note "root ready in $((SECONDS - start)) s: $path"
}

# Roots of other recipes that nothing has used for two weeks.
root_forget_old() {
  local other
  for other in "$CACHE"/debian-12-*.used; do
    if [ -z "$(find "$other" -mtime +14 2>/dev/null)" ] || [ "${other%.used}" = "$1" ]; then continue; fi
    if flock -n "${other%.used}" true; then rm -rf --one-file-system "${other%.used}" "$other"; fi
  done
}

# Inside the build's own namespaces.
root_make() {
  local temp=$1 root=$1/root include debs
  export LC_ALL=C DEBIAN_FRONTEND=noninteractive
  http_proxy=${http_proxy:-$(apt-config shell p Acquire::http::Proxy 2>/dev/null | sed "s/^p='\(.*\)'\$/\1/")}
  if [ -n "$http_proxy" ]; then export http_proxy; else unset http_proxy; fi
  include=$(packages root | sed 's/^ *//; s/ *$//' | tr ' ' ,)
  debootstrap --variant=minbase --cache-dir="$CACHE/debs" --include="$include" \
    --keyring=/usr/share/keyrings/debian-archive-keyring.gpg "$RELEASE" "$root" "$(mirror debian)"

  printf 'deb %s %s main\n' "$(mirror debian)" "$RELEASE" "$(mirror debian)" "$RELEASE-updates" \
    "$(mirror debian-security)" "$RELEASE-security" >"$root/etc/apt/sources.list"
  rm -f "$root"/var/cache/apt/archives/*.deb "$root/etc/resolv.conf"
  : >"$root/etc/resolv.conf"
  mount --bind "$(readlink -f /etc/resolv.conf)" "$root/etc/resolv.conf"
  mount -t proc proc "$root/proc"
  for debs in "$CACHE"/debs/*.deb; do ln "$debs" "$root/var/cache/apt/archives/" 2>/dev/null || true; done
  chroot "$root" apt-get -q update
  chroot "$root" apt-get -qy dist-upgrade
  # shellcheck disable=SC2046 # a list of words
  chroot "$root" apt-get -qy --download-only install $(packages archive)
  chroot "$root" apt-get -q autoclean
  for debs in "$root"/var/cache/apt/archives/*.deb; do ln "$debs" "$CACHE/debs/" 2>/dev/null || true; done

  # knot with what it needs, as a layer of its own: `lab dns` runs it on top of the root, the machine needs none.
  mkdir "$temp/dns" "$temp/work" "$temp/merged"
  mount -t overlay -o "lowerdir=$root,upperdir=$temp/dns,workdir=$temp/work" overlay "$temp/merged"
  chroot "$temp/merged" apt-get -qy --no-install-recommends --no-download install knot knot-dnsutils
  umount "$temp/merged"
  rm -rf "$temp/work" "$temp/merged"

  # As an image leaves the factory: no identity, a UTF-8 locale, no traces of the build.
  rm -f "$root"/etc/ssh/ssh_host_*_key* "$root"/var/lib/dbus/machine-id "$root/etc/hostname"
  ln -s /etc/machine-id "$root/var/lib/dbus/machine-id"
  : >"$root/etc/machine-id"
  printf 'LANG=C.UTF-8\n' >"$root/etc/default/locale"
  find "$root/var/log" -type f -delete
  umount "$root/proc" "$root/etc/resolv.conf"
  chmod 755 "$root"
}
