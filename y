#!/bin/sh
# The one way in: makes sure that `just` is there and that a recipe has what it needs, then runs the recipe.
#   ./x demo      ./x test      ./x ci      ./x            (lists all recipes)
set -eu
cd "$(dirname "$0")"

JUST_VERSION=1.59.0

# What Debian calls the things that a recipe needs. Nothing is installed but by the one line that is printed first.
build_packages="gcc make perl musl-tools"
test_packages="g++ jq shellcheck python3-venv iproute2 nftables openssh-client openssh-server knot knot-dnsutils bind9 bind9-dnsutils \
  bind9-utils lego nix-bin python3-yaml knot-dnssecutils postgresql restic sqlite3 age nginx-light caddy fail2ban python3-systemd prometheus sudo \
  redis-server openssl libxml2-utils bsdutils systemd chromium prometheus-blackbox-exporter monitoring-plugins-basic mosquitto \
  prometheus-node-exporter prometheus-alertmanager pgbouncer avahi-daemon avahi-utils dbus zabbix-agent php8.2-fpm cockpit-ws transmission-daemon hey gnupg"
# Only `ci full` and `test full` need these: other processors, emulated; Zabbix with its web interface; and Rust with its source,
# where Debian has one that is new enough, for a processor whose library rustup cannot fetch.
full_packages="qemu-user-static busybox-static zabbix-server-pgsql zabbix-frontend-php php-pgsql libapache2-mod-php8.2"
full_packages_of_bookworm="rustc-web rust-web-src"
lab_packages="debootstrap systemd-container nftables iproute2 openssh-client knot jq"

say() { printf '%s\n' "$*" >&2; }
fail() { code=$1; shift; say "x: error: $*"; exit "$code"; }

needs_packages() {
  case "${1:-}" in
    build | dist | sizes | start | schemas | lint | clippy | check) echo "$build_packages" ;;
    demo) echo "$build_packages $lab_packages openssh-client" ;;
    lab) echo "$lab_packages" ;;
    test | ci | conform | story | bench | peers)
      echo "$build_packages $test_packages $lab_packages"
      if [ "${2:-}" = full ]; then
        echo "$full_packages"
        if grep -qs bookworm /etc/os-release; then echo "$full_packages_of_bookworm"; fi
      fi
      ;;
  esac
}

# Packages of the list that are not installed. Elsewhere than on Debian nothing is known, and nothing is asked for.
missing_packages() {
  command -v dpkg-query >/dev/null 2>&1 || return 0
  for package in "$@"; do
    dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -q '^installed' || printf '%s ' "$package"
  done
}

install_packages() {
  # shellcheck disable=SC2046 # a list of words
  missing=$(missing_packages $(needs_packages "$@" | tr ' ' '\n' | sort -u))
  [ -n "$missing" ] || return 0
  line="apt-get install -y --no-install-recommends $missing"
  if [ "$(id -u)" -eq 0 ]; then
    say "x: $line"
    # Services of these packages are started by tests, on ports of their own, and never by the installation.
    policy=/usr/sbin/policy-rc.d
    made=""
    if [ ! -e "$policy" ]; then
      printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy" && made=yes
    fi
    # shellcheck disable=SC2086 # a list of words
    if ! { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null; }; then
      [ -z "$made" ] || rm -f "$policy"
      fail 69 "apt could not install what is needed; run it by hand: $line"
    fi
    [ -z "$made" ] || rm -f "$policy"
  else
    say "x: missing: $missing"
    say "  hint: as root: $line"
    case "$missing" in *gcc* | *musl-tools* | *perl* | *make*) exit 69 ;; esac
  fi
}

has_rust() {
  command -v cargo >/dev/null 2>&1 || fail 69 "cargo is missing (install the Rust toolchain: https://rustup.rs, or apt-get install rustup)"
  if command -v rustup >/dev/null 2>&1; then
    target="$(uname -m)-unknown-linux-musl"
    rustup target list --installed | grep -qx "$target" || rustup target add "$target" >&2
  fi
}

new_enough() {
  version=$("$1" --version 2>/dev/null | awk '{print $2}')
  major=${version%%.*}
  rest=${version#*.}
  minor=${rest%%.*}
  [ "${major:-0}" -gt 1 ] 2>/dev/null || { [ "${major:-0}" -eq 1 ] && [ "${minor:-0}" -ge 55 ]; } 2>/dev/null
}

find_just() {
  if command -v just >/dev/null 2>&1 && new_enough just; then
    command -v just
    return
  fi
  here=$PWD/target/just
  if [ ! -x "$here/bin/just" ]; then
    say "x: just $JUST_VERSION is put into target/just"
    if ! { python3 -m venv "$here" >/dev/null 2>&1 && "$here/bin/pip" -q install "rust-just==$JUST_VERSION" >/dev/null 2>&1; }; then
      rm -rf "$here"
      cargo install --quiet --locked --root "$here" "just@$JUST_VERSION" >&2 || fail 69 "just could not be installed; put just 1.55 or newer on PATH"
    fi
  fi
  echo "$here/bin/just"
}

recipe=${1:-}
case "$recipe" in
  "" | -* | help | fmt) ;;
  *)
    install_packages "$@"
    has_rust
    ;;
esac
just=$(find_just)
PATH=$(dirname "$just"):$PATH
export PATH
exec "$just" "$@"
