//! `redis`: a ping, with the password where one is given (RESP, redis.io/docs/reference/protocol-spec).

use contract::SecretRef;
use contract::document::RedisCheck;

use super::talk::Talk;
use super::{Dial, Preparing, quoted};
use crate::net::{Endpoint, connect};
use crate::observation::{Problem, Step, Trace, Verdict};
use crate::reason::Reason;

/// A Redis server.
#[derive(Debug)]
pub(crate) struct Probe {
    endpoint: Endpoint,
    password: Option<SecretRef>,
}

impl Probe {
    pub(super) fn prepare(check: &RedisCheck, preparing: &mut Preparing<'_>) -> Option<Self> {
        Some(Self { endpoint: preparing.endpoint("address", &check.address)?, password: check.password.clone() })
    }

    pub(super) fn target(&self) -> String {
        self.endpoint.to_string()
    }

    pub(super) fn endpoint(&self) -> Option<&Endpoint> {
        Some(&self.endpoint)
    }

    pub(super) async fn look(&self, dial: &Dial<'_>, trace: &mut Trace) -> Verdict {
        let password = self.password.as_ref().map(|secret| dial.context.secret(secret)).transpose()?;
        let mut stream = connect(&self.endpoint, dial, trace).await?;
        trace.step = Step::Answer;
        let peer = trace.address.clone().unwrap_or_default();
        let mut talk = Talk::new(&mut stream, &peer);
        if let Some(password) = &password {
            let mut command = format!("*2\r\n$4\r\nAUTH\r\n${}\r\n", password.bytes().len()).into_bytes();
            command.extend_from_slice(password.bytes());
            command.extend_from_slice(b"\r\n");
            talk.say(&command).await?;
            let line = talk.line().await?;
            if !line.starts_with('+') {
                return Err(self.judge(&peer, &line, true));
            }
        }
        talk.say(b"PING\r\n").await?;
        let line = talk.line().await?;
        match line.as_str() {
            "+PONG" => Ok("PONG".into()),
            // It lives and asks who we are, which is all that a check without a password can see.
            line if self.password.is_none() && line.starts_with("-NOAUTH") => Ok("alive, asks for a password".into()),
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
