//! The helper on its way to a host: sent once, found again, sent anew where it is spoilt, and never run unless it is whole.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use serde_json::json;

use crate::desired;
use crate::lab::Lab;

/// A way to a host that ends after so many bytes from here.
fn short_way(bytes: u64, target: String) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (client, _) = listener.accept().unwrap();
        let server = TcpStream::connect(target).unwrap();
        let (mut back_from, mut back_to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
        std::thread::spawn(move || std::io::copy(&mut back_from, &mut back_to));
        let (mut from, mut to) = (client.take(bytes), server);
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.flush().and_then(|()| to.shutdown(std::net::Shutdown::Both));
        let _ = from.get_ref().shutdown(std::net::Shutdown::Both);
    });
    port
}

#[test]
fn it_is_sent_once_and_only_run_whole() {
    let Some(mut lab) = Lab::boot() else { return };
    let bin = "/var/lib/plumbline/bin";
    let sent = "sending the helper";
    let facts = ["facts", "lab1", "-v"];
    let one_helper = |lab: &Lab| {
        lab.exec(&format!("ls -A {bin} {bin}/*/")).matches("host-provision-helper").count() == 1
            && !lab.exec(&format!("ls -A {bin}")).contains("incoming")
    };

    // The way ends in the middle of it: nothing is left, and the next one comes through.
    let key = lab.host()["host_key"].clone();
    let target = format!("{}:22", lab.address());
    for bytes in [3_500, 200_000] {
        let inventory = json!({"schema": "hosts.inventory/v1", "hosts": [{"name": "lab1", "os": "debian-12", "arch": "x86_64",
            "host_keys": [key], "addresses": [{"address": "127.0.0.1", "port": short_way(bytes, target.clone()), "user": "root"}]}]});
        std::fs::write(lab.inventory.path(), inventory.to_string()).unwrap();
        lab.call(&facts, "").expect(75);
    }
    lab.write_inventory(&[22], &key);
    let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while lab.exec(&format!("ls -A {bin}")).contains("incoming") && std::time::Instant::now() < end {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert_eq!(lab.exec(&format!("ls -A {bin}")), "");

    // What comes is not what was sent: less, more, or as much of which the end is another, so that it could be started.
    let real = "[ $2 -lt 100000 ] && exec /usr/bin/head $*; /usr/bin/head $* >/root/came;";
    for end in [
        "/usr/bin/head -c 99000 /root/came",
        "cat /root/came; echo",
        "/usr/bin/head -c $(($2 - 3)) /root/came; echo xx",
    ] {
        lab.exec(&format!("echo '#!/bin/sh\n{real} {end}' >/usr/local/bin/head; chmod 755 /usr/local/bin/head"));
        let refused = lab.call(&facts, "").expect(69);
        assert!(refused.stderr.contains("not what was sent"), "{end}: {}", refused.stderr);
        assert_eq!(lab.exec(&format!("ls -A {bin}; rm /usr/local/bin/head /root/came")), "");
    }

    // A request that is larger than what a channel holds, before and after it is there.
    let content = "0123456789abcde\n".repeat(80_000);
    let large =
        desired("lab1", &json!([{"id": "f", "file": {"path": "/etc/large", "content": content, "mode": "0600"}}]));
    let first = lab.call(&["plan", "-v"], &large.to_string()).expect(0);
    assert!(first.stderr.contains(sent) && one_helper(&lab), "{}", first.stderr);
    let second = lab.call(&["plan", "-v"], &large.to_string()).expect(0);
    assert!(!second.stderr.contains(sent), "{}", second.stderr);
    assert!(!lab.call(&facts, "").expect(0).stderr.contains(sent));

    // A loss of power left nothing of it, a part, or something that is no program: it is sent anew.
    for spoil in ["truncate -s 0 $f", "truncate -s 5000 $f", "echo garbage >$f"] {
        // The one that served before may still be about to end; a program that runs is not written to.
        lab.exec(&format!("f=$(echo {bin}/*/host-provision-helper); until {spoil}; do sleep 0.05; done"));
        let again = lab.call(&facts, "").expect(0);
        assert!(again.stderr.contains(sent) && one_helper(&lab), "{spoil}: {}", again.stderr);
    }

    // Compressed where the way may be long, and as it is where the host cannot unpack it.
    let size = |said: &str| -> usize {
        let (_, rest) = said.split_once("sending the helper (").unwrap();
        rest.split_once(' ').unwrap().0.parse().unwrap()
    };
    let far = ["facts", "lab1", "-v", "--transport", "openssh"];
    lab.exec(&format!("rm -r {bin}"));
    let packed = size(&lab.call(&far, "").expect(0).stderr);
    lab.exec(&format!("rm -r {bin}; mv /usr/bin/gzip /usr/bin/gzip.away"));
    let plain = size(&lab.call(&far, "").expect(0).stderr);
    assert!(packed * 3 < plain * 2 && one_helper(&lab), "{packed} of {plain}");
}
