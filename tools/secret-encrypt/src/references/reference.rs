//! One reference and its form.

/// A reference to a value that somebody else keeps. Nothing of it is secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reference {
    /// `op://VAULT/ITEM[/SECTION]/FIELD[?attribute=...]` of 1Password.
    OnePassword {
        /// As it is written; `op read` takes it as it is.
        text: String,
    },
    /// `scw:[/FOLDER/]NAME[@REVISION][#FIELD]` of Scaleway Secret Manager.
    Scaleway {
        /// Name of the secret.
        name: String,
        /// Its folder, `/` for none.
        folder: String,
        /// A number, `latest` or `latest_enabled`.
        revision: String,
        /// One field of a secret that is a JSON object.
        field: Option<String>,
    },
    /// `SCHEME:REST` of a provider that the command line declares.
    Declared {
        /// Before the colon.
        scheme: String,
        /// Behind it.
        rest: String,
    },
}

/// Whether a text means to be a reference of a built-in kind.
pub(crate) fn is_reference(text: &str) -> bool {
    let lower = text.get(..5).unwrap_or(text).to_ascii_lowercase();
    (lower.starts_with("op://") || lower.starts_with("scw:")) && !text.contains('\n')
}

impl Reference {
    /// Reads a reference; `declared` are the schemes of the command line.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(text: &str, declared: &[String]) -> Result<Self, String> {
        if let Some((scheme, rest)) = text.split_once(':')
            && declared.iter().any(|known| known == scheme)
        {
            return if rest.is_empty() {
                Err(format!("nothing follows {scheme}:"))
            } else {
                Ok(Self::Declared { scheme: scheme.into(), rest: rest.into() })
            };
        }
        if let Some(rest) = text.strip_prefix("op://") {
            return one_password(text, rest);
        }
        if let Some(rest) = text.strip_prefix("scw:") {
            return scaleway(rest);
        }
        let near = if text.to_ascii_lowercase().starts_with("op://") { "; the scheme is lower case" } else { "" };
        Err(format!("expected op://VAULT/ITEM/FIELD or scw:NAME{near}"))
    }

    /// The reference as it is written.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::OnePassword { text } => text.clone(),
            Self::Scaleway { name, folder, revision, field } => {
                let folder = if folder == "/" { "" } else { &format!("{folder}/") };
                let revision = if revision == LATEST { String::new() } else { format!("@{revision}") };
                let field = field.as_ref().map(|field| format!("#{field}")).unwrap_or_default();
                format!("scw:{folder}{name}{revision}{field}")
            }
            Self::Declared { scheme, rest } => format!("{scheme}:{rest}"),
        }
    }
}

const LATEST: &str = "latest_enabled";
/// Attributes of a field and of a file (1Password CLI, secret reference syntax).
const ATTRIBUTES: [&str; 9] = ["type", "value", "id", "purpose", "otp", "title", "content", "size", "name"];

fn one_password(text: &str, rest: &str) -> Result<Reference, String> {
    let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
    let parts: Vec<&str> = path.split('/').collect();
    if parts.len() < 3 || parts.len() > 4 {
        return Err("it needs a vault, an item and a field: op://VAULT/ITEM[/SECTION]/FIELD".into());
    }
    for (part, what) in parts.iter().zip(["vault", "item", if parts.len() == 4 { "section" } else { "field" }, "field"])
    {
        if part.trim().is_empty() {
            return Err(format!("the name of the {what} is empty"));
        }
        if let Some(odd) = part.chars().find(|c| !(c.is_ascii_alphanumeric() || "-_. ".contains(*c))) {
            return Err(format!("the {what} has the character {odd:?}, which references cannot hold: use its ID"));
        }
    }
    for pair in query.into_iter().flat_map(|query| query.split('&')) {
        let good = match pair.split_once('=') {
            Some(("attribute" | "attr", value)) => ATTRIBUTES.contains(&value),
            Some(("ssh-format", value)) => value == "openssh",
            _ => false,
        };
        if !good {
            return Err("behind ? it takes attribute=otp (or type, value, id, purpose, content, size, name) and ssh-format=openssh".into());
        }
    }
    Ok(Reference::OnePassword { text: text.into() })
}

fn scaleway(rest: &str) -> Result<Reference, String> {
    let (rest, field) = rest.split_once('#').map_or((rest, None), |(rest, field)| (rest, Some(field)));
    let (path, revision) = rest.split_once('@').map_or((rest, LATEST), |(path, revision)| (path, revision));
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let word = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    if !word(name) {
        return Err(
            "the name of the secret is letters, digits, -, _ and .: scw:[/FOLDER/]NAME[@REVISION][#FIELD]".into()
        );
    }
    let good_folder = folder.is_empty() || (folder.starts_with('/') && folder[1..].split('/').all(word));
    if !good_folder {
        return Err("a folder begins with /, such as scw:/team/NAME".into());
    }
    let good_revision =
        ["latest", LATEST].contains(&revision) || revision.parse::<u32>().is_ok_and(|number| number > 0);
    if !good_revision {
        return Err("a revision is a number, latest or latest_enabled".into());
    }
    if field.is_some_and(str::is_empty) {
        return Err("the name of the field is empty".into());
    }
    let folder = if folder.is_empty() { "/" } else { folder };
    Ok(Reference::Scaleway {
        name: name.into(),
        folder: folder.into(),
        revision: revision.into(),
        field: field.map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn forms() {
        for good in [
            "op://home/restic/password",
            "op://Home Lab/restic b2/keys/key_id",
            "op://v/i/one-time password?attribute=otp",
            "op://v/i/private key?ssh-format=openssh",
            "scw:db-password",
            "scw:/team/app/db@3",
            "scw:db#user",
        ] {
            assert_eq!(Reference::parse(good, &[]).unwrap().text(), good);
            assert!(is_reference(good));
        }
        for bad in [
            "op://",
            "op://v/i",
            "op://v//f",
            "op://v/i/s/f/x",
            "op://v/i/f?x=1",
            "op://v/ü/f",
            "OP://v/i/f",
            "scw:",
            "scw:a b",
            "scw:a/b",
            "scw:a@0",
            "scw:a#",
            "vault:x",
            "op:/v/i/f",
        ] {
            assert!(Reference::parse(bad, &[]).is_err(), "{bad}");
        }
        assert!(!is_reference("option") && !is_reference("é") && !is_reference("op://a\nb"));
        let vault = Reference::parse("vault:kv/x", &["vault".into()]).unwrap();
        assert_eq!(vault, Reference::Declared { scheme: "vault".into(), rest: "kv/x".into() });
    }
}
