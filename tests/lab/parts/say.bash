# shellcheck shell=bash
# What the lab says and how it ends: one error form, the exit codes, the check for missing programs.
# Exit codes: 2 usage, 69 a program or a lab is not there, 70 our bug, 75 busy or timed out, 77 not root.

export USAGE=2 UNAVAILABLE=69 BUG=70 TRY_AGAIN=75 NOT_ROOT=77

# die CODE WHERE WHAT [HINT]
die() {
  printf 'lab: error: %s: %s\n' "$2" "$3" >&2
  [ -z "${4:-}" ] || printf 'hint: %s\n' "$4" >&2
  exit "$1"
}

note() { printf 'lab: %s\n' "$*" >&2; }

need_root() { [ "$(id -u)" = 0 ] || die "$NOT_ROOT" "$1" "must run as root (mounts, namespaces, a veth)" "sudo $0 $1 ..."; }

# Each line: what must be there, then the Debian package that brings it.
needed() {
  cat <<'LIST'
debootstrap debootstrap
/usr/share/keyrings/debian-archive-keyring.gpg debian-archive-keyring
systemd-nspawn systemd-container
nft nftables
ip iproute2
ssh openssh-client
ssh-keygen openssh-client
unshare util-linux
nsenter util-linux
setpriv util-linux
flock util-linux
pgrep procps
jq jq
LIST
}

missing_packages() {
  local what package
  while read -r what package; do
    case $what in
      /*) [ -e "$what" ] ;;
      *) PATH=$PATH:/usr/sbin:/sbin command -v "$what" >/dev/null ;;
    esac || printf '%s\n' "$package"
  done < <(needed) | sort -u | tr '\n' ' '
}

check() {
  local missing
  missing=$(missing_packages)
  [ -z "$missing" ] || die "$UNAVAILABLE" machine "missing: ${missing% }" "apt-get install -y --no-install-recommends ${missing% }"
}
