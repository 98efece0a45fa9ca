//! A host with something of everything that the seeds have not.

use serde_json::{Value, json};

use super::{come_to, written};

/// The fleet of it.
pub(super) fn rich() -> Value {
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBV82WXasmTMJfOwvTZZOwwQ7OSKMPbfopAyMXYBakWv me@laptop";
    json!({
        "schema": "fleet/v1", "name": "rich", "domain": "example.net", "email": "ops@example.net",
        "networks": {"lan": {"cidrs": ["10.1.0.0/24", "fd00:1::/48"], "interface": "enp1s0"}},
        "hosts": {"box": {
            "os": "nixos-25.11", "addresses": {"public": ["192.0.2.1"], "lan": ["10.1.0.1"]}, "hostname": "box1", "timezone": "Etc/UTC",
            "ssh": {"keys": [key], "from": ["lan"], "user": "ann", "become": "sudo", "root": "no"},
            "network": {"static": {"interface": "eth0", "addresses": ["192.0.2.1/24", "2001:db8::1/64"], "gateways": ["192.0.2.254", "2001:db8::fe"], "nameservers": ["9.9.9.9"]}},
            "packages": ["htop"], "sysctl": {"vm.swappiness": "10"}, "kernel_modules": ["wireguard"],
            "users": {"ann": {"admin": true, "groups": ["media"], "uid": 1001}, "bot": {"system": true, "home": "/srv/bot"}},
            "groups": {"media": {"gid": 2000}},
            "disk": {"device": "/dev/vda", "layout": "efi", "swap": "2G", "filesystem": "btrfs"}, "bootloader": "systemd-boot",
            "updates": {"reboot": "04:30", "scope": "all"},
            "timers": {"tidy": {"calendar": "weekly", "exec": ["/run/current-system/sw/bin/true", "50%"], "user": "bot", "jitter": "10m"}},
            "units": {"getty@tty1.service": {"masked": true}},
            "directories": {"/srv/media": {"mode": "0775", "group": "media"}},
            "files": {
                "/etc/motd": {"content": "hello ${world} ''quoted''\n"},
                "/srv/x y": {"content": "x", "mode": "0600", "owner": "bot", "restart": ["worker.service"]},
                "/etc/secret.conf": {"template": "key=@@secret:token@@\n", "restart": ["worker.service"]}
            },
            "containers": {"engine": "podman"},
            "proxy": {"kind": "nginx", "limits": {"rate": "10r/s", "burst": 20}, "listen": ["public"]},
            "extra": {"sshd": ["MaxSessions 5", "AllowUsers ann bot", "MACs hmac-sha2-256-etm@openssh.com,umac-128-etm@openssh.com", "usepam no", "AuthorizedKeysCommand /run/wrappers/bin/keys %u"], "nftables": ["tcp dport 7 drop"], "nginx": {"http": ["map_hash_bucket_size 128"]}, "nixos": "{ environment.etc.x.text = \"y\"; }"},
            "fail2ban": {"ignore": ["lan", "198.51.100.7"], "jails": {"nginx-http-auth": {"maxretry": 3}}}
        }},
        "services": {
            "site": {"host": "box", "run": {"static": {"root": "/srv/site"}}, "proxy": [{"names": ["example.net", "www.example.net"]}]},
            "worker": {
                "host": "box", "run": {"systemd": {"exec": ["/run/current-system/sw/bin/worker", "--flag=$HOME", "a b"], "packages": ["htop"], "writable": ["/srv/media"]}},
                "ports": {"http": {"port": 8000}}, "proxy": [{"names": ["app.example.net"], "path": "/app", "streaming": true, "timeout": "5m"}],
                "env": {"A": "x\"y\\z", "TOKEN": {"secret": "token"}}, "env_secrets": ["envs"], "secrets": ["token"],
                "extra": {"systemd": {"Service": {"MemoryMax": ["1G"]}}, "nginx": {"server": ["error_page 404 /x"], "location": ["proxy_buffers 8 16k"]}},
                "backup": {"none": "nothing"}
            },
            "nightly": {"host": "box", "run": {"systemd": {"exec": ["/run/current-system/sw/bin/true"], "calendar": "daily"}}, "needs": ["worker"], "backup": {"none": "nothing"}},
            "two": {
                "host": "box", "run": {"containers": {
                    "web": {"image": "docker.io/library/x:1", "needs": ["db"], "volumes": ["./data:/data", "vol:/v:ro"], "env": {"B": "1"}, "memory": "512m"},
                    "db": {"image": "docker.io/library/y:1", "env": {"PASSWORD": {"secret": "token"}}, "capabilities": ["CHOWN"]}
                }},
                "ports": {"http": {"port": 8100, "container_port": 80, "container": "web", "bind": "lan"}},
                "needs": ["worker"], "proxy": [{"names": ["two.example.net"], "from": ["lan"]}], "backup": {"none": "nothing"}
            },
            "mine": {"host": "box", "run": {"nixos": {"module": "services.mine", "options": {"a.b": [1, {"c": null}], "token": {"secret": "token"}, "pkg": {"$nix": "pkgs.htop"}}, "system": {"boot.kernelModules": ["fuse"]}}}, "backup": {"none": "nothing"}}
        },
        "secrets": {"token": {}, "envs": {"file": "secrets/envs.env"}}
    })
}

#[test]
fn a_rich_host_comes_to_what_it_says() {
    let store = tempfile::tempdir().unwrap();
    let (_home, tree) = written(&rich());
    let Some(found) = come_to(&rich(), store.path(), &tree) else { return };
    let host = found.unwrap_or_else(|error| panic!("{error}"))["box"].clone();
    assert_eq!(host["environment"]["etc"]["motd"]["text"], "hello ${world} ''quoted''\n");
    assert_eq!(host["services"]["openssh"]["settings"]["MaxSessions"], "5");
    let sshd = &host["services"]["openssh"];
    assert_eq!(sshd["settings"]["PermitRootLogin"], "no");
    // NixOS has lists and truth values, and some names, of its own.
    assert_eq!(sshd["settings"]["AllowUsers"], json!(["ann", "bot"]));
    assert_eq!(sshd["settings"]["Macs"].as_array().unwrap().len(), 2);
    assert_eq!(sshd["settings"]["UsePAM"], false);
    assert_eq!(sshd["authorizedKeysCommand"], "/run/wrappers/bin/keys %u");
    assert_eq!(host["users"]["users"]["ann"]["extraGroups"], json!(["media", "wheel"]));
    assert_eq!(host["users"]["users"]["worker"]["isSystemUser"], true);
    assert_eq!(
        host["networking"]["interfaces"]["eth0"]["ipv4"]["addresses"],
        json!([{"address": "192.0.2.1", "prefixLength": 24}])
    );
    assert_eq!(host["networking"]["defaultGateway6"]["address"], "2001:db8::fe");
    assert_eq!(host["boot"]["kernelModules"], json!(["fuse", "wireguard"]));
    let worker = &host["systemd"]["services"]["worker"];
    assert_eq!(worker["serviceConfig"]["ExecStart"], "/run/current-system/sw/bin/worker \"--flag=$$HOME\" \"a b\"");
    assert_eq!(worker["serviceConfig"]["MemoryMax"], "1G");
    assert_eq!(
        worker["serviceConfig"]["EnvironmentFile"],
        json!(["/run/secrets/rendered/worker.env", "/run/secrets/envs"])
    );
    assert_eq!(host["sops"]["templates"]["worker.env"]["content"], "TOKEN=\"<placeholder of token>\"\n");
    assert_eq!(host["sops"]["secrets"]["envs"]["format"], "dotenv");
    assert_eq!(host["systemd"]["services"]["nightly"]["after"], json!(["network-online.target", "worker.service"]));
    assert_eq!(host["systemd"]["timers"]["nightly"]["timerConfig"]["OnCalendar"], "daily");
    let web = &host["virtualisation"]["oci-containers"]["containers"]["two-web"];
    assert_eq!(web["ports"], json!(["10.1.0.1:8100:80"]));
    assert_eq!(web["volumes"], json!(["/opt/two/data:/data", "vol:/v:ro"]));
    assert_eq!(web["dependsOn"], json!(["two-db"]));
    let unit = &host["systemd"]["services"]["podman-two-web"];
    assert_eq!(unit["after"], json!(["worker.service", "podman-network-two.service"]));
    let mine = &host["services"]["mine"];
    assert_eq!(
        mine,
        &json!({"enable": true, "a": {"b": [1, {"c": null}]}, "token": "/run/secrets/token", "pkg": "/stub/htop"})
    );
    let site = &host["services"]["nginx"]["virtualHosts"]["app.example.net"];
    assert!(site["extraConfig"].as_str().unwrap().contains("error_page 404 /x;"));
    assert!(site["locations"]["/app"]["extraConfig"].as_str().unwrap().contains("proxy_buffering off;"));
    assert_eq!(host["services"]["nginx"]["defaultListenAddresses"], json!(["192.0.2.1"]));
    assert_eq!(host["system"]["autoUpgrade"]["rebootWindow"], json!({"lower": "04:30", "upper": "05:30"}));
    assert_eq!(
        host["systemd"]["tmpfiles"]["settings"]["10-plumbline"]["/etc/secret.conf"]["L+"]["argument"],
        "/run/secrets/rendered/file-etc-secret.conf"
    );
}
