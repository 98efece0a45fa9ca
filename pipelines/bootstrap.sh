#!/bin/sh
# The chain of `just bootstrap HOST` in plain shell, with pipes: for reading, for CI, and for those who want no just.
#   FLEET=fleet.json sh pipelines/bootstrap.sh HOST [-i KEY ...]
# What follows HOST is given to every host-provision call.
set -eu

host=${1:?usage: bootstrap.sh HOST [HOST-PROVISION OPTIONS]}
shift
fleet=${FLEET:-fleet.json}
base=$(dirname "$fleet")
state=${STATE_DIR:-$base/.plumbline}
umask 077
mkdir -p "$state"
hosts=$state/hosts.json
controller=$state/controller.manifest.json

say() { printf '\n== %s\n' "$*" >&2; }
provision() { verb=$1; shift; host-provision "$verb" --hosts "$hosts" "$@"; }
with_secrets() { secret-encrypt exec --manifest "$controller" --base "$base" -- "$@"; }

cfg-render check --output text "$fleet" >&2
cfg-render hosts "$fleet" >"$hosts"
cfg-render secrets --controller "$fleet" >"$controller"
secret-encrypt refs seal --base "$base" "$controller" >"$state/controller.references.json"
cfg-render secrets --host "$host" "$fleet" | secret-encrypt refs seal --base "$base" >"$state/$host.references.json"

# A pipe whose first program fails leaves the second one an empty input, which every tool refuses: nothing half-made gets through.
for stage in base data; do
  say "$host: $stage"
  cfg-render host --host "$host" "$fleet" | provision apply "$@" --base "$base" --through "$stage" --output text
done

for cluster in $(cfg-render postgres --list --run-on "$host" "$fleet"); do
  say "$host: databases of $cluster"
  cfg-render postgres --cluster "$cluster" "$fleet" | provision run "$@" "$host" -- pg-ensure apply --output text
done

say 'names that certificates need'
cfg-render dns "$fleet" | with_secrets dns-sync apply --base "$base" --phase before --output text

say "$host: services"
cfg-render host --host "$host" "$fleet" | provision apply "$@" --base "$base" --output text

say 'all names'
cfg-render dns "$fleet" | with_secrets dns-sync apply --base "$base" --output text

say "is $host healthy?"
# What the host sees of itself (1 means unhealthy) is judged in one graph with what is seen from here.
cfg-render health --from "$host" "$fleet" | provision run "$@" "$host" -- health-probe run --wait 2m >"$state/$host.health.json" || [ $? -eq 1 ]
cfg-render health --from controller --with "$host" "$fleet" | with_secrets health-probe run --wait 2m --with "$state/$host.health.json" --output text

say "$host: first backup"
cfg-render backup --host "$host" "$fleet" |
  provision run "$@" "$host" -- backup-plan plan --out /var/lib/plumbline/backup/plan.json >"$state/$host.backup.plan.json"
provision run "$@" --installed "$host" -- systemctl start plumbline-backup.service
provision run "$@" "$host" -- backup-plan judge --output text /var/lib/plumbline/backup/plan.json
