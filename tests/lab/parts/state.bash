# shellcheck shell=bash
# Which labs there are. A lab is a directory below $BASE, locked (flock) by its supervisor for as long as it lives:
# the kernel drops the lock when the supervisor dies, however it dies. Everything a lab leaves outside its own
# namespaces is undone in one place, `lab_clean`, which is called by the lab's watchdog, by `lab down`, and for labs
# that died together with their watchdog by the next call of any command.
#
#   $BASE/<id>/          0700
#     slot               number of the lab: subnet 10.99.<slot>.0/24, veth plumb-lab<slot>, nft table plumbline_lab_<slot>
#     unshare.pid        the process whose death ends all, with its start time; supervisor.pid: pid 1 of the namespace
#     code/              the scripts this lab was started with
#     lab.json key known_hosts ssh_config hosts/<name>/{root,console} dns/
#   $BASE/.uplink        the uplink's forwarding flag as it was found

BASE=/run/plumbline-lab

lab_dir() { printf '%s/%s\n' "$BASE" "$1"; }

# Runs a function with the machine-wide lock. No `||` around it: that would switch errexit off inside.
locked() {
  install -d -m 0755 "$BASE"
  exec {LOCK}<"$BASE"
  flock -w 60 "$LOCK" || die "$TRY_AGAIN" lab "$BASE stays locked by another run"
  "$@"
  exec {LOCK}<&-
  LOCK=''
}

start_time() { # start_time PID [PROC]: the process's identity beside its number; empty if it is gone
  local stat
  { read -r stat <"${2:-/proc}/$1/stat"; } 2>/dev/null || return 0
  stat=${stat##*) }
  # shellcheck disable=SC2086 # fields
  set -- $stat
  case $1 in Z | X) ;; *) printf '%s\n' "${20}" ;; esac
}

lab_alive() { [ -d "$BASE/$1" ] && ! flock -n "$BASE/$1" true; }

labs() { # ids of living labs
  local dir
  for dir in "$BASE"/*/; do
    [ -d "$dir" ] || continue
    dir=$(basename "$dir")
    if lab_alive "$dir"; then printf '%s\n' "$dir"; fi
  done
}

# Undo what dead labs left because their watchdogs were killed as well. Under the lock.
reap() {
  local dir
  for dir in "$BASE"/*/; do
    if [ -d "$dir" ] && flock -n "$dir" true; then lab_clean "$(basename "$dir")"; fi
  done
}

# The lab a command means: --lab, then LAB_JSON, then the only one.
lab_chosen() {
  local all
  if [ -n "${LAB:-}" ]; then :
  elif [ -n "${LAB_JSON:-}" ]; then
    [ -r "$LAB_JSON" ] || die "$UNAVAILABLE" LAB_JSON "the lab of $LAB_JSON is no more" "unset LAB_JSON"
    LAB=$(jq -r .id "$LAB_JSON")
  else
    mapfile -t all < <(labs)
    [ "${#all[@]}" -le 1 ] || die "$USAGE" lab "several labs are up: ${all[*]}" "lab --lab ${all[0]} ..."
    LAB=${all[0]:-}
  fi
  [ -n "$LAB" ] || die "$UNAVAILABLE" lab "no lab is up" "lab up 1"
  lab_alive "$LAB" || die "$UNAVAILABLE" "lab $LAB" "it is not up" "lab status"
  DIR=$(lab_dir "$LAB")
  SUPERVISOR=$(cat "$DIR/supervisor.pid")
  SLOT=$(cat "$DIR/slot")
}

# Runs a part of this program inside the lab: its mounts, its processes, its network.
inside() { nsenter -t "$SUPERVISOR" --mount --pid --net -- bash "$DIR/code/lab" "$@"; }

# The number of a host given as 1 or lab1.
host_number() {
  local number=${1#lab}
  case $number in '' | *[!0-9]*) die "$USAGE" "host $1" "not a number" ;; esac
  [ -d "$DIR/hosts/lab$number" ] || die "$USAGE" "host $1" "lab $LAB has no such host" "lab status"
  printf '%s\n' "$number"
}

# lab_clean ID: the only undo. Under the lock; the lab's supervisor is dead or is killed here. Safe to repeat.
lab_clean() {
  local dir slot pid started group n
  dir=$(lab_dir "$1")
  [ -d "$dir" ] || return 0
  slot=$(cat "$dir/slot" 2>/dev/null || true)
  if read -r pid started 2>/dev/null <"$dir/unshare.pid" && [ "$(start_time "$pid")" = "$started" ]; then
    kill -KILL "$pid" 2>/dev/null || true
  fi
  for ((n = 0; n < 100; n++)); do
    ! flock -n "$dir" true || break
    sleep 0.05
  done
  if [ -n "$slot" ]; then
    ip link delete "plumb-lab$slot" 2>/dev/null || true
    nft delete table ip "plumbline_lab_$slot" 2>/dev/null || true
  fi
  if [ -e "$dir/cgroups" ]; then
    while read -r group; do
      for ((n = 0; n < 100; n++)); do # they empty a moment after the last process died
        [ -d "$group" ] || break
        find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || sleep 0.05
      done
    done <"$dir/cgroups"
  fi
  rm -rf --one-file-system "$dir"
  uplink_restore
}
