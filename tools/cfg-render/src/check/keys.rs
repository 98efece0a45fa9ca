//! Public keys: of hosts, of people, and those that secrets are encrypted for.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use contract::{Finding, Pointer};

use super::context::{Context, place};
use crate::fleet::SshKey;

/// Types of SSH keys that may be used.
const TYPES: [&str; 7] = [
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
];

/// `bad-host-key`, `bad-ssh-key`, `bad-recipient`.
pub(crate) fn check(context: &Context<'_>, found: &mut Vec<Finding>) {
    for (name, host) in context.hosts() {
        let at = place([&"hosts", name]);
        for (index, key) in host.host_keys.iter().enumerate() {
            host_key(key, at.join("host_keys").join(index), found);
        }
        if let Some(ssh) = &host.ssh {
            ssh_keys(&ssh.keys, &at.join("ssh").join("keys"), found);
        }
        for (user_name, user) in &host.users {
            ssh_keys(&user.keys, &at.join("users").join(user_name).join("keys"), found);
        }
        if let Some(recipient) = host.secrets.as_ref().and_then(|secrets| secrets.recipient.as_ref()) {
            age_recipient(recipient, at.join("secrets").join("recipient"), found);
        }
    }
    for (name, person) in &context.fleet.people {
        let at = place([&"people", name]);
        ssh_keys(&person.ssh_keys, &at.join("ssh_keys"), found);
        for (index, recipient) in person.age_recipients.iter().enumerate() {
            age_recipient(recipient, at.join("age_recipients").join(index), found);
        }
    }
}

/// Why two words are no SSH public key.
fn fault(kind: &str, blob: &str) -> Option<String> {
    if kind == "ssh-dss" {
        return Some("DSA keys are broken, and OpenSSH refuses them".into());
    }
    if !TYPES.contains(&kind) {
        return Some(format!("\"{kind}\" is no type of SSH key"));
    }
    let Ok(bytes) = STANDARD.decode(blob) else { return Some("the key is cut off or not in base64".into()) };
    // The first field of the blob is the type again.
    let named = bytes.get(..4).and_then(|length| {
        let length = u32::from_be_bytes(length.try_into().ok()?) as usize;
        bytes.get(4..4_usize.checked_add(length)?)
    });
    match named {
        Some(named) if named != kind.as_bytes() => Some("the key is of another type than it says".into()),
        Some(_) if kind == "ssh-ed25519" && bytes.len() != 51 => Some("the key is cut off".into()),
        Some(_) => None,
        None => Some("the key is cut off or not in base64".into()),
    }
}

fn host_key(key: &str, at: Pointer, found: &mut Vec<Finding>) {
    let words: Vec<&str> = key.split_whitespace().collect();
    let fault = match words.as_slice() {
        [kind, blob] => fault(kind, blob),
        [kind, blob, ..] if TYPES.contains(kind) => {
            fault(kind, blob).or_else(|| Some("a host key has no comment".into()))
        }
        _ => Some("a host key is written as TYPE BASE64".into()),
    };
    if let Some(fault) = fault {
        found.push(
            Finding::error("bad-host-key", at, fault)
                .fix("copy the first two words of /etc/ssh/ssh_host_ed25519_key.pub from the host's console"),
        );
    }
}

fn ssh_keys(keys: &[SshKey], at: &Pointer, found: &mut Vec<Finding>) {
    for (index, key) in keys.iter().enumerate() {
        let SshKey::Line(line) = key else { continue };
        if let Some(fault) = line_fault(line) {
            found.push(
                Finding::error("bad-ssh-key", at.join(index), fault)
                    .fix("paste the whole line of a .pub file, such as ~/.ssh/id_ed25519.pub"),
            );
        }
    }
}

/// What is wrong with a line of authorized_keys(5), which may begin with options.
fn line_fault(line: &str) -> Option<String> {
    if line.contains(['\n', '\r']) {
        return Some("a key is one line".into());
    }
    if line.contains("PRIVATE KEY") {
        return Some("this is a private key".into());
    }
    let words: Vec<&str> = line.split_whitespace().collect();
    let known = words.iter().position(|word| TYPES.contains(word) || *word == "ssh-dss");
    match known.and_then(|index| Some((*words.get(index)?, *words.get(index + 1)?))) {
        Some((kind, blob)) => fault(kind, blob),
        None => Some("this is no SSH public key".into()),
    }
}

fn age_recipient(recipient: &str, at: Pointer, found: &mut Vec<Finding>) {
    let words: Vec<&str> = recipient.split_whitespace().collect();
    let fault = match words.as_slice() {
        [kind @ ("ssh-ed25519" | "ssh-rsa"), blob, ..] => fault(kind, blob),
        [secret] if secret.to_ascii_uppercase().starts_with("AGE-SECRET-KEY-") => {
            Some("this is an age identity, the secret half".into())
        }
        [key] if is_age_recipient(key) => None,
        _ => Some("expected an age recipient (age1...) or an Ed25519 or RSA SSH public key".into()),
    };
    if let Some(fault) = fault {
        let fix = "print it with `secret-encrypt keygen --public`, or take the host's ssh-ed25519 key";
        found.push(Finding::error("bad-recipient", at, fault).fix(fix));
    }
}

/// The letters of Bech32 behind `age1`; the checksum is for the tool that encrypts.
fn is_age_recipient(key: &str) -> bool {
    key.strip_prefix("age1").is_some_and(|rest| {
        let letters = rest
            .bytes()
            .all(|b| b"qpzry9x8gf2tvdw0s3jn54khce6mua7l".contains(&b) || b == b'1' || b.is_ascii_lowercase());
        letters && rest.len() >= 50
    })
}
