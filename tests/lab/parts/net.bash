# shellcheck shell=bash
# The lab's network. Inside: one bridge with 10.99.S.2, one network namespace a host with 10.99.S.(10+i), made anew at
# each boot as a kernel would be. Outside: the end of one veth with 10.99.S.1 and an address 10.99.S.(200+i) for each
# host to be attacked from; it vanishes with the namespace its other end is in. Unless --offline the outer namespace
# forwards HTTP(S) and DNS from that veth to the uplink and nothing else: the veth's own forwarding flag, the uplink's
# (restored after the last lab), and a table of our own. net.ipv4.ip_forward is not touched.

subnet() { printf '10.99.%s' "$SLOT"; }

uplink() { ip -4 -json route show default | jq -r 'map(select(.dev))[0].dev // ""'; }

# Name servers a host can reach: the machine's, but not those on its loopback.
name_servers() {
  local file
  for file in /etc/resolv.conf /run/systemd/resolve/resolv.conf; do
    [ -r "$file" ] || continue
    awk '$1 == "nameserver" && $2 ~ /^[0-9.]+$/ && $2 !~ /^127\./ { print $2 }' "$file"
  done | sort -u
}

forwarding() { printf '/proc/sys/net/ipv4/conf/%s/forwarding' "$1"; }

uplink_open() { # under the lock
  local up=$1 was
  was=$(cat "$(forwarding "$up")")
  if [ "$was" = 0 ]; then
    printf '%s %s\n' "$up" "$was" >"$BASE/.uplink"
    printf '1\n' >"$(forwarding "$up")"
  fi
  printf '%s\n' "$up" >"$DIR/uplink"
}

uplink_restore() { # under the lock
  local up was
  [ -e "$BASE/.uplink" ] || return 0
  if compgen -G "$BASE/*/uplink" >/dev/null; then return 0; fi
  read -r up was <"$BASE/.uplink"
  if [ -e "$(forwarding "$up")" ]; then printf '%s\n' "$was" >"$(forwarding "$up")"; fi
  rm -f "$BASE/.uplink"
}

# The outer side. Under the lock.
net_outside() { # net_outside HOSTS ONLINE
  local hosts=$1 online=$2 veth=plumb-lab$SLOT net up i names
  net=$(subnet)
  ip link add "$veth" type veth peer name up0 netns "$SUPERVISOR"
  nsenter -t "$SUPERVISOR" --net -- ip link set up0 master lab0 up
  {
    printf 'addr add %s.1/24 dev %s\n' "$net" "$veth"
    for ((i = 1; i <= hosts; i++)); do printf 'addr add %s.%s/24 dev %s\n' "$net" $((200 + i)) "$veth"; done
    printf 'link set %s up\n' "$veth"
  } | ip -batch -
  if [ "$online" = 0 ]; then
    printf '0\n' >"$(forwarding "$veth")"
    return
  fi
  up=$(uplink)
  names=$(name_servers | paste -sd,)
  if [ -n "$names" ]; then names="iifname \"$veth\" oifname \"$up\" ip daddr { $names } meta l4proto { tcp, udp } th dport 53 accept"; fi
  uplink_open "$up"
  printf '1\n' >"$(forwarding "$veth")"
  nft -f - <<RULES
table ip plumbline_lab_$SLOT {
  chain forward {
    type filter hook forward priority filter; policy accept;
    iifname "$veth" oifname "$up" tcp dport { 80, 443 } accept
    $names
    iifname "$veth" drop
    oifname "$veth" ct state established,related accept
    oifname "$veth" drop
  }
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr $net.0/24 oifname "$up" masquerade
  }
}
RULES
}

# --- inside the lab ---

net_inside() {
  ip -batch - <<BATCH
link set lo up
link add lab0 type bridge
addr add $(subnet).2/24 dev lab0
link set lab0 up
BATCH
  nft -f - <<'RULES'
table bridge lab {
  set cut { type ifname; }
  chain forward {
    type filter hook forward priority filter; policy accept;
    ether type ip iifname @cut drop
    ether type ip oifname @cut drop
  }
  chain input {
    type filter hook input priority filter; policy accept;
    ether type ip iifname @cut drop
  }
  chain output {
    type filter hook output priority filter; policy accept;
    ether type ip oifname @cut drop
  }
}
RULES
}

host_pin() { printf '/run/net/lab%s' "$1"; }

# A fresh network namespace for a host, on the bridge; the card's address stays, or peers would not find it again.
host_plug() {
  local pin net
  net=$(subnet)
  pin=$(host_pin "$1")
  host_unplug "$1"
  : >"$pin"
  unshare --net="$pin" true
  ip -batch - <<BATCH
link add h$1 type veth peer name host0 address $(printf '02:6c:61:62:%02x:%02x' "$SLOT" "$1") netns $pin
link set h$1 master lab0 up
BATCH
  nsenter --net="$pin" ip -batch - <<BATCH
link set lo up
addr add $net.$((10 + $1))/24 dev host0
link set host0 up
route add default via $net.1
BATCH
}

host_unplug() {
  umount "$(host_pin "$1")" 2>/dev/null || true
  ip link delete "h$1" 2>/dev/null || true
}

# A cut link swallows packets and answers nothing, as a dead line far away does.
host_cut() { nft add element bridge lab cut "{ h$1 }"; }
host_heal() { nft delete element bridge lab cut "{ h$1 }" 2>/dev/null || true; }
