# shellcheck shell=bash
# The lab's name server: knot at 10.99.S.2, authoritative for lab.test and the reverse zone. With the TSIG key, and only
# with it, anybody may transfer them and update them (RFC 2136). It runs from the lab's own root: the machine needs no knot.

dns_start() { # inside the lab
  local dir=$DIR/dns net reverse secret
  net=$(subnet)
  reverse=$SLOT.99.10.in-addr.arpa
  mkdir -p "$dir/root" "$dir/data/db"
  ( umask 077; head -c 32 /dev/urandom | base64 -w0 >"$dir/tsig.secret" )
  secret=$(cat "$dir/tsig.secret")
  mkdir -p "$dir/disk"
  mount -t tmpfs -o mode=755 dns "$dir/disk"
  mkdir "$dir/disk/upper" "$dir/disk/work"
  mount -t overlay -o "lowerdir=/run/lower/dns:/run/lower/root,upperdir=$dir/disk/upper,workdir=$dir/disk/work" dns "$dir/root"
  mkdir -p "$dir/root/srv/dns" "$dir/root/run/knot"
  mount --bind "$dir/data" "$dir/root/srv/dns"
  mount --rbind /dev "$dir/root/dev"
  cat >"$dir/data/lab.test.zone" <<ZONE
\$ORIGIN lab.test.
\$TTL 300
@   SOA ns1 hostmaster 1 3600 600 86400 60
@   NS  ns1
ns1 A   $net.2
ZONE
  cat >"$dir/data/$reverse.zone" <<ZONE
\$ORIGIN $reverse.
\$TTL 300
@   SOA ns1.lab.test. hostmaster.lab.test. 1 3600 600 86400 60
@   NS  ns1.lab.test.
2   PTR ns1.lab.test.
ZONE
  ( umask 077; cat >"$dir/data/knot.conf" ) <<CONF
server:
  listen: $net.2@53
  rundir: /run/knot
  user: root:root
  tcp-io-timeout: 60000
  tcp-remote-io-timeout: 60000
  tcp-idle-timeout: 60
  udp-workers: 1
  tcp-workers: 2
  background-workers: 1
log:
- target: stdout
  any: info
database:
  storage: /srv/dns/db
key:
- id: lab
  algorithm: hmac-sha256
  secret: $secret
acl:
- id: lab
  key: lab
  action: [transfer, update]
template:
- id: default
  storage: /srv/dns
  file: "%s.zone"
  journal-content: all
  zonefile-sync: -1
  acl: lab
zone:
- domain: lab.test
- domain: $reverse
CONF
  setsid chroot "$dir/root" knotd -c /srv/dns/knot.conf </dev/null >"$dir/log" 2>&1 &
}

dns_json() {
  [ -e "$DIR/dns/tsig.secret" ] || { printf 'null\n'; return; }
  jq -n --arg address "$(subnet).2" --arg reverse "$SLOT.99.10.in-addr.arpa" --arg dir "$DIR/dns" '{
    address: $address, port: 53, zone: "lab.test", reverse_zone: $reverse,
    tsig_name: "lab", tsig_algorithm: "hmac-sha256", tsig_secret_file: ($dir + "/tsig.secret"), log: ($dir + "/log")}'
}
