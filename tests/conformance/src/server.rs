//! Small servers on loopback that a case may need, in threads of the runner that end with it.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use serde::Deserialize;

/// What a service does with every connection.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Service {
    /// Answers every request.
    Http {
        /// Status of the answer.
        status: u16,
        /// Its body.
        body: String,
    },
    /// Accepts and says nothing.
    Silent {},
    /// Nothing listens: the address of a port that was free a moment ago.
    Closed {},
}

impl Service {
    /// Starts it and gives its address.
    ///
    /// # Errors
    /// A text for people where no port is free.
    pub(crate) fn start(&self) -> Result<String, String> {
        let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
        let address = listener.local_addr().map_err(|error| error.to_string())?.to_string();
        match self.clone() {
            Service::Closed {} => drop(listener),
            service => {
                std::thread::spawn(move || {
                    for stream in listener.incoming().filter_map(Result::ok) {
                        let service = service.clone();
                        std::thread::spawn(move || service.serve(stream));
                    }
                });
            }
        }
        Ok(address)
    }

    fn serve(&self, mut stream: TcpStream) {
        let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
        let mut request = [0; 4096];
        match self {
            Service::Http { status, body } => {
                let _ = stream.read(&mut request);
                let _ = write!(
                    stream,
                    "HTTP/1.1 {status} Case\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                );
            }
            Service::Silent {} | Service::Closed {} => {
                let _ = stream.read(&mut request);
            }
        }
    }
}
