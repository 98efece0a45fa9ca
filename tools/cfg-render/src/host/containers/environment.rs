//! The environment of containers, in the dialect of what reads it.

use std::collections::BTreeMap;

use contract::document::{Stage, TemplateEscape};
use contract::{Finding, Pointer, SecretName, places};

use crate::fleet::Value;
use crate::format::env::{self, Dialect};
use crate::host::HostBuilder;

/// Images whose start script takes the name of a file for a value, as root, and the beginnings of the variables for which
/// it does (from their own documentation). Others read their environment only.
const TAKES_FILES: [(&str, &[&str]); 5] = [
    ("library/postgres", &["POSTGRES_"]),
    ("library/mariadb", &["MARIADB_", "MYSQL_"]),
    ("library/mysql", &["MYSQL_"]),
    ("library/nextcloud", &["POSTGRES_", "MYSQL_", "NEXTCLOUD_ADMIN_", "REDIS_HOST_PASSWORD", "SMTP_PASSWORD"]),
    ("library/wordpress", &["WORDPRESS_"]),
];

/// Variables of one file or container, by how they travel.
#[derive(Debug, Clone, Default)]
pub(super) struct Environment {
    /// Values for all to see.
    pub(super) clear: BTreeMap<String, String>,
    /// Lines with placeholders.
    lines: String,
    /// Lines with placeholders inside URLs.
    url_lines: String,
    /// Secrets that the container reads as files instead.
    pub(super) files: Vec<SecretName>,
    /// Variables with a secret in the container's environment, which the engine keeps on disk.
    pub(super) kept: Vec<String>,
}

/// Sorts variables. `image` is that of the one container that gets them.
pub(super) fn sort(
    builder: &mut HostBuilder<'_, '_>,
    dialect: Dialect,
    service: &str,
    image: Option<&str>,
    values: &BTreeMap<String, Value>,
    at: &Pointer,
) -> Environment {
    let mut sorted = Environment::default();
    for (variable, value) in values {
        let at = at.join(variable);
        let resolved = builder.model.resolve_value(builder.host, service, value);
        if let Some(problem) = resolved.problem {
            builder.findings.push(Finding::error("unknown-ref", at, format!("{variable}: {problem}")));
            continue;
        }
        let secrets = resolved.secrets();
        if secrets.is_empty() {
            // The name must be good also where the value does not stand in a file of variables.
            if builder.fit(env::line(Dialect::Raw, variable, ""), &at).is_some() {
                sorted.clear.insert(variable.clone(), resolved.text);
            }
            continue;
        }
        let whole = matches!(value, Value::Reference(reference) if reference.secret.is_some())
            || secrets.first().is_some_and(|name| resolved.text == contract::placeholder(name));
        if let (true, Some(secret), Some(image)) = (whole, secrets.first(), image)
            && takes_files(image, variable)
        {
            sorted.clear.insert(format!("{variable}_FILE"), format!("{}/{secret}", places::SECRETS));
            sorted.files.push(secret.clone());
            continue;
        }
        if let Some(line) = builder.fit(env::line(dialect, variable, &resolved.text), &at) {
            if resolved.url {
                sorted.url_lines.push_str(&line);
            } else {
                sorted.lines.push_str(&line);
            }
            sorted.kept.push(variable.clone());
        }
    }
    sorted
}

fn takes_files(image: &str, variable: &str) -> bool {
    let name = image.split_once('@').map_or(image, |(name, _)| name);
    let name = name.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')).map_or(name, |(name, _)| name);
    let known = TAKES_FILES.iter().find(|(known, _)| {
        name.ends_with(&format!("/{known}")) || name == *known || known.strip_prefix("library/") == Some(name)
    });
    known.is_some_and(|(_, beginnings)| beginnings.iter().any(|beginning| variable.starts_with(beginning)))
}

impl Environment {
    /// All variables as one `.env` file that appears at `link`: for a Compose file that is not ours, which reads this one
    /// alone. A secret inside a URL goes into a second file beside it.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn write_all(
        mut self,
        builder: &mut HostBuilder<'_, '_>,
        dialect: Dialect,
        name: &str,
        clear: &str,
        link: &str,
        unit: &str,
        from: &[Pointer],
    ) {
        self.lines.insert_str(0, clear);
        self.write(builder, dialect, name, Some(link), unit, from);
    }

    /// Writes the files with secrets as templates and gives their paths. `link` is where the first shall appear.
    pub(super) fn write(
        &self,
        builder: &mut HostBuilder<'_, '_>,
        dialect: Dialect,
        name: &str,
        link: Option<&str>,
        unit: &str,
        from: &[Pointer],
    ) -> Vec<String> {
        let mut paths = Vec::new();
        // In a URL a value is percent-encoded, elsewhere quoted: two files, because a template has one way for all of it.
        for (end, text, escape) in [("", &self.lines, dialect.escape()), (".url", &self.url_lines, TemplateEscape::Url)]
        {
            if text.is_empty() {
                continue;
            }
            let template = builder.template(format!("{name}{end}.env"), text.clone(), escape);
            template.units = vec![unit.to_owned()];
            let path = match link {
                Some(link) => {
                    let link = format!("{link}{end}");
                    template.link = Some(link.clone());
                    link
                }
                None => format!("{}/{name}{end}.env", places::RENDERED),
            };
            paths.push(path);
            builder.wait_for_secrets(Stage::Services, unit, from);
        }
        paths
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_that_take_files_are_known_by_name() {
        assert!(takes_files("docker.io/library/postgres:17.5@sha256:abc", "POSTGRES_PASSWORD"));
        assert!(takes_files("postgres", "POSTGRES_PASSWORD"));
        assert!(takes_files("localhost:5000/library/nextcloud:31", "NEXTCLOUD_ADMIN_PASSWORD"));
        assert!(!takes_files("docker.io/library/postgres:17.5", "PGPASSWORD"));
        assert!(!takes_files("ghcr.io/example/postgres-ui:1", "POSTGRES_PASSWORD"));
    }
}
