//! Everything that can go wrong, with its exit, stable code and remedy. No value of a secret is ever part of a message.

use cli::Failure;
use contract::{Exit, Pointer};

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The document of a format cannot be read.
    #[error("{message}")]
    Syntax {
        /// What is wrong.
        message: String,
        /// Line from 1, where known.
        line: Option<u64>,
    },
    /// The kind of document cannot hold or be what is wanted.
    #[error("{0}")]
    Unsupported(String),
    /// No `sops` block.
    #[error("the file is not encrypted: it has no sops block")]
    NotEncrypted,
    /// A `sops` block where none may be.
    #[error("the file is encrypted already: it has a sops block")]
    AlreadyEncrypted,
    /// The block is no good.
    #[error("the sops block is not good: {0}")]
    BadMetadata(String),
    /// A rule's pattern.
    #[error("{key} is no regular expression: {cause}")]
    BadRegex {
        /// Which rule.
        key: String,
        /// What the parser says.
        cause: String,
    },
    /// Plaintext where the rule wants ciphertext.
    #[error("a value stands in clear where the file's rule wants it encrypted")]
    PlainUnderRule {
        /// Where.
        pointer: Pointer,
    },
    /// A value that means to be encrypted.
    #[error("the encrypted value is malformed")]
    Malformed {
        /// Where.
        pointer: Pointer,
    },
    /// A value or its place was changed.
    #[error("the encrypted value was changed, moved or written with another key")]
    Tampered {
        /// Where.
        pointer: Pointer,
    },
    /// A plain value looks like an encrypted one.
    #[error("the value looks encrypted already, but the file is not")]
    LooksEncrypted {
        /// Where.
        pointer: Pointer,
    },
    /// An alias of a collection that holds values to encrypt.
    #[error("an alias stands for values that would be encrypted")]
    Alias {
        /// Where.
        pointer: Pointer,
    },
    /// The MAC.
    #[error("the file was changed by hand or damaged: its MAC does not fit its values")]
    MacMismatch,
    /// No MAC.
    #[error("the file has no MAC, so that nothing protects its values from being swapped")]
    MacMissing,
    /// No identity opens the data key.
    #[error("no identity opens this file")]
    NoKey {
        /// For whom it is.
        recipients: Vec<String>,
        /// Kinds of recipients of other programs.
        foreign: Vec<&'static str>,
        /// Where identities were looked for.
        tried: Vec<String>,
    },
    /// Shamir.
    #[error("only {opened} key groups can be opened, {needed} are needed")]
    TooFewGroups {
        /// How many could be.
        opened: usize,
        /// How many must be.
        needed: usize,
        /// For whom the file is.
        recipients: Vec<String>,
    },
    /// Key groups with recipients that we cannot wrap for.
    #[error("the key groups of this file hold recipients of another kind ({}), which only their own program can renew", .0.join(", "))]
    ForeignGroups(Vec<&'static str>),
    /// A recipient's text.
    #[error("{reason}")]
    BadRecipient {
        /// The public text, shortened.
        recipient: String,
        /// Why.
        reason: String,
    },
    /// An identity file.
    #[error("{reason}")]
    BadIdentity {
        /// Where it came from.
        place: String,
        /// Why.
        reason: String,
    },
    /// Nobody to encrypt for.
    #[error("nobody is named who could decrypt the file")]
    NoRecipients,
    /// `.sops.yaml`.
    #[error("{reason}")]
    BadConfig {
        /// Which file.
        place: String,
        /// Why.
        reason: String,
    },
    /// Nothing at the pointer.
    #[error("nothing is there")]
    NoSuchValue {
        /// Where.
        pointer: Pointer,
        /// A name near to it.
        near: Option<String>,
    },
    /// Something that is no single value.
    #[error("there is {what}, not a single value")]
    NotAValue {
        /// Where.
        pointer: Pointer,
        /// What it is.
        what: &'static str,
    },
    /// Larger than the limits.
    #[error("the input is larger than {} MiB", crate::LARGEST / 1024 / 1024)]
    TooLarge,
    /// Our own output did not read back.
    #[error("the result would not read back as the same document; nothing was written")]
    RoundTrip(Option<Pointer>),
    /// A value has no place in the text.
    #[error(
        "nothing can be put in this place: an alias (*name) elsewhere stands for what is there, or the place takes no value"
    )]
    NoPlace {
        /// Where.
        pointer: Pointer,
    },
    /// What is to go shares its text with what stays.
    #[error(
        "what stands there cannot be taken away alone: something else shares its line, or stands for it (an alias, *name)"
    )]
    NotAlone {
        /// Where.
        pointer: Pointer,
    },
    /// The kernel.
    #[error("the system gives no random bytes")]
    Random(#[source] std::io::Error),
    /// A file.
    #[error("cannot {doing}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// With what.
        place: String,
        /// The exit.
        exit: Exit,
        /// What the system said.
        source: std::io::Error,
    },
    /// A link where a file is wanted.
    #[error("the path is a symbolic link; its target would be another file than the one named")]
    Symlink {
        /// The path.
        place: String,
    },
    /// Refused by a safety rule.
    #[error("{message}")]
    Refused {
        /// Stable name.
        code: &'static str,
        /// What.
        message: String,
        /// Where.
        place: String,
        /// The consent or remedy.
        hint: String,
    },
    /// A reference of no good form.
    #[error("the reference is not well formed: {reason}")]
    BadReference {
        /// Where.
        pointer: Pointer,
        /// Why.
        reason: String,
    },
    /// The program of a provider gives no value.
    #[error("{message}")]
    Provider {
        /// What, with what the program said on standard error.
        message: String,
    },
    /// Another run writes there.
    #[error("another run is writing in this directory")]
    Busy {
        /// The directory.
        place: String,
    },
    /// A program that is needed.
    #[error("{message}")]
    Program {
        /// What.
        message: String,
        /// What to do.
        hint: String,
    },
}

impl Error {
    /// An error of the system.
    pub fn io(exit: Exit, doing: &'static str, place: impl std::fmt::Display, source: std::io::Error) -> Self {
        Error::Io { doing, place: place.to_string(), exit, source }
    }

    /// A document that cannot be read, without a line.
    pub fn syntax(message: impl Into<String>) -> Self {
        Error::Syntax { message: message.into(), line: None }
    }

    /// Nothing is at a pointer. What is near it only who knows the whole document can say.
    pub fn nothing_at(pointer: &Pointer) -> Self {
        Error::NoSuchValue { pointer: pointer.clone(), near: None }
    }

    /// The failure of the run, in the file named.
    pub fn in_file(self, place: impl std::fmt::Display) -> Failure {
        Failure::from(self).place(place.to_string())
    }

    /// The stable name.
    pub fn code(&self) -> &'static str {
        self.parts().1
    }

    /// The place in the document.
    pub fn pointer(&self) -> Option<&Pointer> {
        match self {
            Error::PlainUnderRule { pointer }
            | Error::Malformed { pointer }
            | Error::Tampered { pointer }
            | Error::LooksEncrypted { pointer }
            | Error::Alias { pointer }
            | Error::NoSuchValue { pointer, .. }
            | Error::BadReference { pointer, .. }
            | Error::NotAValue { pointer, .. }
            | Error::NoPlace { pointer }
            | Error::NotAlone { pointer }
            | Error::RoundTrip(Some(pointer)) => Some(pointer),
            _ => None,
        }
    }

    /// Exit, stable name and what to do.
    fn parts(&self) -> (Exit, &'static str, String) {
        let bad = |code, hint: &str| (Exit::BadDocument, code, hint.to_owned());
        match self {
            Error::Syntax { .. } => bad("syntax", ""),
            Error::Unsupported(_) => bad("unsupported", ""),
            Error::NotEncrypted => bad("not_encrypted", "encrypt it first: secret-encrypt encrypt --in-place FILE"),
            Error::AlreadyEncrypted => bad("already_encrypted", "to change a value use set; to read it use decrypt"),
            Error::BadMetadata(_) => bad("bad_metadata", ""),
            Error::BadRegex { .. } => bad("bad_rule", "SOPS rules are RE2 expressions"),
            Error::PlainUnderRule { .. } => bad(
                "plaintext",
                "if it was put in by hand, take it out and use `secret-encrypt set`, then change the secret",
            ),
            Error::Malformed { .. } => bad("malformed_value", "restore the line from version control"),
            Error::Tampered { .. } => {
                bad("tampered_value", "restore the file from version control; do not trust its values")
            }
            Error::LooksEncrypted { .. } => {
                bad("looks_encrypted", "its sops block is missing: restore the file from version control")
            }
            Error::Alias { .. } => bad("alias", "write the values out instead of the alias"),
            Error::MacMismatch => bad("mac_mismatch", "restore the file from version control; do not trust its values"),
            Error::MacMissing => bad("mac_missing", "restore the file from version control"),
            Error::NoKey { recipients, foreign, tried } => {
                let mut hint = match tried.as_slice() {
                    [] => "no identity was found: give --identity FILE or set SOPS_AGE_KEY_FILE".to_owned(),
                    tried => format!("tried {}", tried.join(", ")),
                };
                if !recipients.is_empty() {
                    hint.push_str(&format!("; the file is for {}", recipients.join(", ")));
                }
                if !foreign.is_empty() {
                    hint.push_str(&format!(
                        "; it also has recipients of kind {}, which only sops can use",
                        foreign.join(", ")
                    ));
                }
                (if tried.is_empty() { Exit::NotSetUp } else { Exit::Permission }, "no_key", hint)
            }
            Error::TooFewGroups { recipients, .. } => {
                (Exit::Permission, "too_few_groups", format!("the file is for {}", recipients.join(", ")))
            }
            Error::ForeignGroups(_) => (Exit::Refused, "foreign_groups", "use sops updatekeys for this file".into()),
            Error::BadRecipient { .. } => bad("bad_recipient", "expected age1..., ssh-ed25519 ... or ssh-rsa ..."),
            Error::BadIdentity { .. } => (Exit::NotSetUp, "bad_identity", String::new()),
            Error::NoRecipients => (
                Exit::NotSetUp,
                "no_recipients",
                "give --recipient age1..., or add a creation rule that matches the file to .sops.yaml".into(),
            ),
            Error::BadConfig { .. } => bad("bad_config", ""),
            Error::NoSuchValue { near, .. } => (
                Exit::BadDocument,
                "no_such_value",
                near.as_ref().map(|near| format!("did you mean {near}?")).unwrap_or_default(),
            ),
            Error::NotAValue { .. } => bad("not_a_value", "point to one value"),
            Error::TooLarge => bad("too_large", ""),
            Error::RoundTrip(_) => (
                Exit::Bug,
                "round_trip",
                "write what stands there in a plainer way (one key a line, double quotes), and please report this bug of ours".into(),
            ),
            Error::NoPlace { .. } => bad("no_place", "write the value out there, or use an editor"),
            Error::NotAlone { .. } => bad("not_alone", "use an editor: decrypt, take it away, encrypt --to the file"),
            Error::Random(_) => (Exit::Io, "random", String::new()),
            Error::Io { exit, .. } => (*exit, "io", String::new()),
            Error::Symlink { .. } => (Exit::Refused, "symlink", "name the file itself".into()),
            Error::Refused { code, hint, .. } => (Exit::Refused, code, hint.clone()),
            Error::BadReference { .. } => bad("bad_reference", "write op://VAULT/ITEM/FIELD or scw:NAME"),
            Error::Provider { .. } => {
                (Exit::Unavailable, "provider_failed", "is somebody signed in there? no file was changed".into())
            }
            Error::Busy { .. } => (Exit::TryAgain, "locked", "wait for it to end and run this again".into()),
            Error::Program { hint, .. } => (Exit::Unavailable, "program_missing", hint.clone()),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        if let Error::Io { doing, place, exit, source } = &error {
            return Failure::io(*exit, doing, place, source);
        }
        let (exit, code, hint) = error.parts();
        let mut message = error.to_string();
        if let Error::Syntax { line: Some(line), .. } = &error {
            message = format!("line {line}: {message}");
        }
        let mut failure = Failure::new(exit, code, message);
        match &error {
            Error::BadIdentity { place, .. }
            | Error::BadConfig { place, .. }
            | Error::Symlink { place }
            | Error::Busy { place }
            | Error::Refused { place, .. } => failure = failure.place(place.clone()),
            Error::BadRecipient { recipient, .. } => failure = failure.place(recipient.clone()),
            _ => {}
        }
        if let Some(pointer) = error.pointer() {
            failure = failure.at(pointer.clone());
        }
        if hint.is_empty() { failure } else { failure.hint(hint) }
    }
}
