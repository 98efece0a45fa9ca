//! A fleet that uses everything that is rendered for Debian hosts.

use serde_json::{Value, json};

/// Two hosts: an edge and a backend, with services of every kind.
pub(crate) fn fleet(proxy: &str) -> Value {
    json!({
        "schema": "fleet/v1",
        "name": "rich",
        "domain": "rich.test",
        "people": {"ann": {"groups": ["admins"], "ssh_keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBV82WXasmTMJfOwvTZZOwwQ7OSKMPbfopAyMXYBakWv ann"]}},
        "networks": {
            "lan": {"cidrs": ["10.1.0.0/16", "fd00:1::/64"]},
            "office": {"cidrs": ["198.51.100.0/24"]}
        },
        "defaults": {"host": {"ssh": {"port": 2222, "from": ["lan", "office"], "groups": ["admins"]}}},
        "hosts": {
            "edge": {
                "os": "debian-12",
                "addresses": {"public": ["203.0.113.1", "2001:db8::1"], "lan": ["10.1.0.1"]},
                "proxy": {"kind": proxy},
                "updates": {"scope": "all", "schedule": "*-*-* 04:00:00", "reboot": "04:30", "hold": ["linux-image-amd64"], "email": "ops@rich.test"},
                "allow": [{"port": "60000-61000", "proto": "udp", "from": ["lan"], "reason": "mosh"}],
                "firewall": {"log": true},
                "sysctl": {"net.core.somaxconn": "1024"},
                "kernel_modules": ["tls"],
                "users": {"ann": {"admin": true, "people": ["ann"]}},
                "fail2ban": {"ignore": ["lan", "192.0.2.7"], "jails": {"nginx-http-auth": {"logpath": ["/var/log/nginx/error.log"], "ports": [80, 443]}}},
                "timers": {"tidy": {"calendar": "daily", "exec": ["/usr/bin/find", "/tmp", "-name", "100% $HOME \"x\"", "-delete"], "jitter": "10m"}},
                "agents": {"node_exporter": {}}
            },
            "back": {
                "os": "debian-12",
                "addresses": {"lan": ["10.1.0.2"]},
                "agents": {"node_exporter": {}, "postgres_exporter": {"cluster": "main"}}
            }
        },
        "databases": {"main": {"host": "back", "bind": ["lan"], "settings": {"work_mem": "16MB", "application_name": "it's"}}},
        "services": {
            "site": {"host": "edge", "run": {"static": {"root": "/srv/site", "fallback": "/index.html"}},
                "proxy": [{"names": ["rich.test", "www.rich.test"]}], "backup": {"none": "in git"}},
            "app": {
                "description": "An app: 100% \"quoted\" $text",
                "host": "back",
                "run": {"systemd": {"exec": ["/usr/bin/env", "true"], "writable": ["/srv/app data"]}},
                "ports": {"http": {"port": 3000, "bind": "lan"}},
                "env": {"PLAIN": "a b $c %d \"e\"", "DATABASE_URL": {"database": "app", "attr": "url"}, "TOKEN": {"secret": "app-token"}},
                "databases": [{"password": {"secret": "app-db"}}],
                "proxy": [
                    {"names": ["app.rich.test"], "via": "edge", "tls": "internal", "timeout": "5m", "streaming": true, "max_body": "100m",
                     "headers": [{"name": "X-Note", "value": "a \"b\"; c $d"}]},
                    {"names": ["app.rich.test"], "via": "edge", "tls": "internal", "path": "/api", "from": ["lan"]}
                ],
                "metrics": [{}],
                "health": [{"http": {"path": "/health"}}],
                "backup": {"none": "all in the database"}
            },
            "moved": {"host": "edge", "run": {"static": {"root": "/srv/moved"}}, "proxy": [{"names": ["old.rich.test"], "redirect": "https://rich.test"}], "backup": {"none": "nothing there"}},
            "job": {"host": "back", "run": {"systemd": {"exec": ["/bin/true"], "calendar": "*-*-* 05:00:00", "start": "oneshot"}}, "needs": ["app"], "backup": {"none": "no data"}},
            "prometheus": {"host": "edge", "run": {"package": {"packages": ["prometheus"]}}, "ports": {"http": 9090},
                "alerts": [{"name": "Odd", "expr": "up{job=\"app\"} == 0", "for": "5m", "summary": "{{ not a template }}"}],
                "backup": {"none": "samples"}}
        },
        "monitoring": {"network": "lan", "prometheus": {}},
        "secrets": {"app-token": {}, "app-db": {}}
    })
}
