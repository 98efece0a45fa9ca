//! This machine: the helper as a child process.

use std::path::PathBuf;
use std::process::Stdio;

use cli::Failure;
use contract::Exit;

use super::openssh::{ProcessChannel, writer};
use super::transport::{Channel, Transport};

/// Commands of this machine. The only one is the helper.
pub(super) struct Local {
    pub(super) helper: PathBuf,
}

impl Transport for Local {
    fn exec(&mut self, _command: &str) -> Result<Box<dyn Channel>, Failure> {
        let mut child = super::child(&self.helper)
            .arg("serve")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| Failure::io(Exit::Io, "start", self.helper.display(), &error))?;
        let (input, output) = (child.stdin.take().map(writer), child.stdout.take());
        Ok(Box::new(ProcessChannel { child, input, output, errors: None }))
    }
}
