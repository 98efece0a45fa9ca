#!/bin/sh
# Certificates by ACME (RFC 8555) with lego, in /var/lib/acme/NAME/{fullchain,key}.pem for whoever is in the group acme.
#   acme stand-in NAME                  links to a leaf of the internal CA until there is a certificate
#   acme get NAME DAYS LEGO-ARGUMENT... gets it, or renews it with less than DAYS left
#   acme reload NAME UNIT               reloads the unit if it is a new one
set -eu
umask 027
home=${ACME_HOME:-/var/lib/acme}
verb=$1
name=$2
shift 2

case $verb in
  stand-in)
    mkdir -p "$home/$name"
    chown acme:acme "$home/$name"
    chmod 750 "$home/$name"
    ln -sfn "/var/lib/plumbline/tls/$name/key.pem" "$home/$name/key.pem"
    ln -sfn "/var/lib/plumbline/tls/$name/fullchain.pem" "$home/$name/fullchain.pem"
    ;;
  get)
    days=$1
    shift
    # lego names its files after the first name, with "_" for an asterisk.
    first=$(printf '%s' "$name" | sed 's/^_wildcard\./_./')
    store=$home/.lego/certificates
    names=$home/.lego/$name.arguments
    # Other names or another server make it another certificate.
    if [ -s "$store/$first.crt" ] && [ "$(cat "$names" 2>/dev/null)" = "$*" ]; then
      lego "$@" renew --days "$days" --no-random-sleep
    else
      lego "$@" run
      printf '%s\n' "$*" >"$names"
    fi
    mkdir -p "$home/$name"
    if ! cmp -s "$store/$first.crt" "$home/$name/fullchain.pem"; then
      # Each at once: whoever reads in between sees the old file or the new one.
      for pair in "$first.key key.pem" "$first.crt fullchain.pem"; do
        from=${pair%% *}
        to=$home/$name/${pair##* }
        rm -f "$to.new"
        cp "$store/$from" "$to.new"
        chmod 640 "$to.new"
        mv -f "$to.new" "$to"
      done
      : >"$home/$name/changed"
    fi
    ;;
  reload)
    if [ -e "$home/$name/changed" ]; then
      rm -f "$home/$name/changed"
      systemctl reload-or-restart "$1"
    fi
    ;;
  *)
    echo "acme: unknown verb: $verb" >&2
    exit 2
    ;;
esac
