#!/bin/sh
# Passwords for Caddy: secrets with lines of htpasswd (NAME:HASH) become files with lines of a Caddyfile (NAME HASH).
#   caddy-passwords NAME...
# Caddy understands bcrypt alone. Whoever has another kind of hash is left out, and is named.
set -eu
umask 027
secrets=${SECRETS_DIR:-/run/secrets}
home=${CADDY_PASSWORDS:-/run/plumbline-caddy}
mkdir -p "$home"
chgrp caddy "$home"
for name; do
  mkdir -p "$home/$name"
  chgrp caddy "$home/$name"
  awk -v secret="$name" '
    { sub(/\r$/, "") }
    /^[ \t]*(#|$)/ { next }
    {
      split_at = index($0, ":")
      user = substr($0, 1, split_at - 1)
      hash = substr($0, split_at + 1)
      sub(/:.*/, "", hash)
      if (split_at < 2 || user ~ /[^A-Za-z0-9._@+-]/) {
        printf "caddy-passwords: secret %s, line %d: the user name cannot be used with Caddy\n", secret, NR >"/dev/stderr"
      } else if (length(hash) != 60 || hash !~ /^\$2[aby]\$[0-9][0-9]\$[.\/A-Za-z0-9]+$/) {
        printf "caddy-passwords: secret %s, line %d: no bcrypt hash; make one with htpasswd -B\n", secret, NR >"/dev/stderr"
      } else {
        print user, hash
      }
    }' "$secrets/$name" >"$home/$name/.new"
  chgrp caddy "$home/$name/.new"
  mv -f "$home/$name/.new" "$home/$name/users"
done
