# shellcheck shell=bash
# Life and death of a lab. Three processes:
#   unshare     makes the mount, pid and network namespaces; its child dies with it (--kill-child)
#   supervisor  pid 1 of the pid namespace: when it dies the kernel kills every process of the lab, and with the last of
#               them go the mounts, the overlays in RAM, the network namespaces, the bridge and both ends of the veth
#   watchdog    outside, in its own session; it reads a pipe that only those two hold open, and when that ends undoes
#               what the kernel does not: the nft table, the uplink's flag, empty cgroups, the run directory

# supervise ROOT OWNER OWNER_STARTED: pid 1. OWNER 0: until `lab down`.
supervise() {
  local owner=$2 started=$3 temp=$DIR/temp tick pid builder builder_started
  mkdir "$temp"
  mount -t tmpfs -o mode=755 run "$temp"
  mkdir -p "$temp/lower" "$temp/outer-proc" "$temp/net" "$temp/plumbline-lab/$LAB"
  mount --bind "$1" "$temp/lower"
  mount --bind /proc "$temp/outer-proc"
  mount --bind "$DIR" "$temp/plumbline-lab/$LAB"
  mount --no-mtab --move "$temp" /run
  mount -t proc proc /proc
  rmdir "$DIR/temp" 2>/dev/null || true
  net_inside
  lab_cgroups >"$DIR/cgroups"
  mkfifo /run/tick
  exec {tick}<>/run/tick
  read -r pid _ </run/outer-proc/self/stat
  printf '%s\n' "$pid" >"$DIR/supervisor.pid.new"
  mv "$DIR/supervisor.pid.new" "$DIR/supervisor.pid"
  # `lab up` owns the lab while it builds; then the pid it was told.
  read -r builder builder_started <"$DIR/builder"
  while :; do
    read -r -t 0.5 -u "$tick" _ || true
    if [ ! -e "$DIR/lab.json" ]; then
      [ "$(start_time "$builder" /run/outer-proc)" = "$builder_started" ] || return 0
    elif [ "$owner" != 0 ]; then
      [ "$(start_time "$owner" /run/outer-proc)" = "$started" ] || return 0
    fi
  done
}

watch_over() { # stdin: the pipe
  trap '' INT TERM HUP
  cd /
  read -r _ || true
  locked lab_clean "$LAB"
}

slot_free() {
  local slot used slots=32
  used=$(cat "$BASE"/*/slot 2>/dev/null || true)
  for ((slot = 0; slot < slots; slot++)); do
    if grep -qx "$slot" <<<"$used"; then continue; fi
    if ip -4 route show match "10.99.$slot.0/24" | grep -qv '^default'; then continue; fi
    if [ -e "/sys/class/net/plumb-lab$slot" ]; then continue; fi
    printf '%s\n' "$slot"
    return
  done
  die "$TRY_AGAIN" lab "no subnet of 10.99.0.0/16 is free for a lab" "lab status"
}

# Takes a number and a directory for a new lab. Under the lock. Leaves LAB, DIR, SLOT and the lock in HOLD.
lab_claim() {
  reap
  SLOT=$(slot_free)
  LAB=${1:-l$SLOT}
  DIR=$(lab_dir "$LAB")
  [ ! -e "$DIR" ] || die "$TRY_AGAIN" "lab $LAB" "a lab of this name is up" "lab --lab $LAB down"
  mkdir -m 0700 "$DIR"
  exec {HOLD}<"$DIR"
  flock -n "$HOLD"
  printf '%s\n' "$SLOT" >"$DIR/slot"
  mkdir "$DIR/code"
  cp -r "$LAB_HOME/lab" "$LAB_HOME/parts" "$LAB_HOME"/*.packages "$DIR/code/"
}

# Starts the three processes; returns when the supervisor is ready.
lab_start() { # lab_start ROOT OWNER
  local root=$1 owner=$2 started=0 lifeline end root_lock pid scope=()
  if [ "$owner" != 0 ]; then
    started=$(start_time "$owner")
    [ -n "$started" ] || die "$USAGE" --until-pid "there is no process $owner"
  fi
  printf '%s %s\n' $$ "$(start_time $$)" >"$DIR/builder"
  mkfifo "$DIR/lifeline"
  exec {lifeline}<>"$DIR/lifeline"
  exec {end}<"$DIR/lifeline"
  rm "$DIR/lifeline"
  exec {root_lock}<"$root"
  flock -s "$root_lock"
  # Under systemd the hosts' cgroups are to be left alone by the machine's own.
  if [ -d /run/systemd/system ]; then scope=(systemd-run --quiet --scope --collect --property=Delegate=yes --); fi
  setsid bash "$DIR/code/lab" _watch "$LAB" <&"$end" >/dev/null 2>&1 {lifeline}>&- {end}<&- {HOLD}<&- {root_lock}<&- &
  setsid "${scope[@]}" unshare --mount --pid --net --fork --kill-child --propagation slave -- \
    bash "$DIR/code/lab" _supervise "$LAB" "$root" "$owner" "$started" </dev/null >"$DIR/log" 2>&1 {end}<&- &
  pid=$!
  printf '%s %s\n' "$pid" "$(start_time "$pid")" >"$DIR/unshare.pid"
  exec {lifeline}>&- {end}<&- {root_lock}<&- {HOLD}<&-
  for _ in {1..500}; do
    if [ -s "$DIR/supervisor.pid" ]; then SUPERVISOR=$(cat "$DIR/supervisor.pid"); return; fi
    [ -n "$(start_time "$pid")" ] || break
    sleep 0.02
  done
  cat "$DIR/log" >&2 || true
  die "$BUG" lab "the supervisor did not start"
}
