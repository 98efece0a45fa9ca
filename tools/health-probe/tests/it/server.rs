//! Small servers on loopback that do one odd thing.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

/// A server that does `answer` with every connection; it ends with the process.
pub fn serve(answer: impl Fn(TcpStream) + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = std::sync::Arc::new(answer);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = std::sync::Arc::clone(&answer);
            thread::spawn(move || answer(stream));
        }
    });
    port
}

/// Reads the head of a request.
pub fn head(stream: &mut TcpStream) -> String {
    let mut heard = Vec::new();
    let mut byte = [0];
    while !heard.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
        heard.push(byte[0]);
    }
    String::from_utf8_lossy(&heard).into_owned()
}

/// A server that answers every request with this.
pub fn http(response: impl Into<String>) -> u16 {
    let response = response.into();
    serve(move |mut stream| {
        head(&mut stream);
        let _ = stream.write_all(response.as_bytes());
    })
}

/// An answer with a body.
pub fn answer(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

/// A port on which nothing listens.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
