//! `redis`: a ping, with the password where one is given (RESP, redis.io/docs/reference/protocol-spec).

use std::sync::Arc;

use contract::SecretRef;
use contract::document::RedisCheck;

use super::talk::Talk;
use super::{Dial, Preparing, quoted};
use crate::net::{Endpoint, TlsPlan, open};
use crate::observation::{Problem, Step, Trace, Verdict};
use crate::reason::Reason;

/// A Redis server.
#[derive(Debug)]
pub(crate) struct Probe {
    endpoint: Endpoint,
    password: Option<SecretRef>,
    user: Option<String>,
    tls: Option<Arc<TlsPlan>>,
}

impl Probe {
    pub(super) fn prepare(check: &RedisCheck, preparing: &mut Preparing<'_>) -> Option<Self> {
        if check.user.is_some() && check.password.is_none() {
            preparing.wrong("user", "contradiction", "a user without a password cannot log in");
        }
        let tls = preparing.tls_if_any("tls", check.tls.as_ref());
        Some(Self {
            endpoint: preparing.endpoint("address", &check.address)?,
            password: check.password.clone(),
            user: check.user.clone(),
            tls: tls?,
        })
    }

    pub(super) fn target(&self) -> String {
        self.endpoint.to_string()
    }

    pub(super) fn endpoint(&self) -> Option<&Endpoint> {
        Some(&self.endpoint)
    }

    pub(super) async fn look(&self, dial: &Dial<'_>, trace: &mut Trace) -> Verdict {
        let password = self.password.as_ref().map(|secret| dial.context.secret(secret)).transpose()?;
        let (mut stream, warning) = open(&self.endpoint, self.tls.as_deref(), dial, trace).await?;
        trace.step = Step::Answer;
        let peer = trace.address.clone().unwrap_or_default();
        let mut talk = Talk::new(&mut stream, &peer);
        if let Some(password) = &password {
            let user = self.user.as_deref().map(str::as_bytes);
            let words = [Some(b"AUTH".as_slice()), user, Some(password.bytes())];
            talk.say(&command(&words.into_iter().flatten().collect::<Vec<_>>())).await?;
            let line = talk.line().await?;
            if !line.starts_with('+') {
                return Err(self.judge(&peer, &line, true));
            }
        }
        talk.say(b"PING\r\n").await?;
        let line = talk.line().await?;
        match line.as_str() {
            "+PONG" => warning.map_or_else(|| Ok("PONG".into()), Err),
            // It lives and asks who we are, which is all that a check without a password can see.
            line if self.password.is_none() && line.starts_with("-NOAUTH") => {
                warning.map_or_else(|| Ok("alive, asks for a password".into()), Err)
            }
            line => Err(self.judge(&peer, line, false)),
        }
    }

    fn judge(&self, peer: &str, line: &str, login: bool) -> Problem {
        let word = line.trim_start_matches('-').split(' ').next().unwrap_or_default();
        match word {
            "LOADING" => Problem::fail(Reason::Starting, format!("{peer} is loading its data")),
            "MASTERDOWN" => Problem::warn(Reason::Dependency, format!("{peer} has lost its master")),
            "DENIED" => Problem::warn(
                Reason::AuthFailed,
                format!("{peer} is in protected mode and talks to its own machine only"),
            ),
            "NOAUTH" | "WRONGPASS" | "NOPERM" => {
                Problem::fail(Reason::AuthFailed, format!("{peer} refused the login ({word})"))
            }
            // What follows AUTH might repeat it.
            _ if login => Problem::fail(Reason::AuthFailed, format!("{peer} refused the login")),
            _ => Problem::fail(Reason::BannerMismatch, format!("{peer} says {}, which is no PONG", quoted(line, &[]))),
        }
    }
}

/// A command as an array of bulk strings.
fn command(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

#[cfg(test)]
mod tests {
    #[test]
    fn commands_are_arrays_of_bulk_strings() {
        assert_eq!(super::command(&[b"AUTH", b"a b\r\n"]), b"*2\r\n$4\r\nAUTH\r\n$5\r\na b\r\n\r\n");
    }
}
