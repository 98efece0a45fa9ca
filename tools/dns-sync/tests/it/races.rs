//! What happens between our eyes and our hand: a proxy before a real server does something when the update comes by.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use serde_json::json;

use crate::peer::{Kind, Server, nsupdate};
use crate::program::counts;

/// What the proxy does with an update.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Deed {
    /// Somebody else is faster.
    Race,
    /// The server does it, its answer gets lost.
    LoseAnswer,
    /// The connection breaks before the server sees it.
    LoseRequest,
}

/// Listens, and hands everything on to the server; the thread ends with the test.
fn proxy(server: u16, deed: Deed) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let client = client.unwrap();
            std::thread::spawn(move || drop(hand_on(client, server, deed)));
        }
    });
    address
}

fn hand_on(mut client: TcpStream, server: u16, deed: Deed) -> std::io::Result<()> {
    let mut upstream = TcpStream::connect(("127.0.0.1", server))?;
    let (mut from, to) = (upstream.try_clone()?, client.try_clone()?);
    loop {
        let mut length = [0; 2];
        client.read_exact(&mut length)?;
        let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
        client.read_exact(&mut message)?;
        let update = message[2] >> 3 & 15 == 5;
        if update && deed == Deed::Race {
            nsupdate(server, "update delete www.example.org A\nupdate add www.example.org 300 A 192.0.2.66");
        }
        if update && deed == Deed::LoseRequest {
            return client.shutdown(std::net::Shutdown::Both);
        }
        upstream.write_all(&length)?;
        upstream.write_all(&message)?;
        if update && deed == Deed::LoseAnswer {
            let mut answer = [0; 14];
            from.read_exact(&mut answer)?;
            return client.shutdown(std::net::Shutdown::Both);
        }
        let (mut from, mut to) = (from.try_clone()?, to.try_clone()?);
        std::thread::spawn(move || std::io::copy(&mut from, &mut to));
    }
}

fn meet(kind: Kind, deed: Deed) -> Option<(Server, crate::program::Run)> {
    let server = Server::start(kind)?;
    let first = server.desired("owned", json!([{"name": "www", "ttl": 300, "A": ["192.0.2.1"]}]));
    server.converge(&first);
    let address = proxy(server.port, deed);
    let second = server
        .desired("owned", json!([{"name": "www", "ttl": 300, "A": ["192.0.2.2"]}, {"name": "new", "A": ["192.0.2.3"]}]))
        .replace(&format!("127.0.0.1:{}", server.port), &address);
    let run = server.run(&["apply"], &second);
    Some((server, run))
}

#[test]
fn who_was_faster_wins() {
    for kind in [Kind::Bind, Kind::Knot] {
        let Some((server, run)) = meet(kind, Deed::Race) else { return };
        run.fails(75, "zone_moved");
        assert_eq!(server.dig(&["www.example.org", "A"]), ["192.0.2.66"], "{kind:?}");
        assert_eq!(server.dig(&["new.example.org", "A"]), Vec::<String>::new(), "nothing of the message was done");
    }
}

#[test]
fn a_lost_answer_is_no_failure() {
    for kind in [Kind::Bind, Kind::Knot] {
        let Some((_server, run)) = meet(kind, Deed::LoseAnswer) else { return };
        assert_eq!(counts(&run.json(0)), (1, 1, 0));
    }
}

#[test]
fn a_lost_request_is_one() {
    let Some((server, run)) = meet(Kind::Knot, Deed::LoseRequest) else { return };
    run.fails(69, "connection_lost");
    assert_eq!(server.dig(&["www.example.org", "A"]), ["192.0.2.1"]);
}
