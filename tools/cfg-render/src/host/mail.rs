//! Mail: the settings of programs that send it, from the service's mailer. What a program calls its settings stands in its own
//! documentation; a variable that the fleet sets itself stays as it is.

use std::borrow::Cow;

use crate::fleet::{MailTls, Mailer, Reference, Service, Value};
use crate::model::{Model, is_program};

/// The words of a program: its image or own name, and its variables.
struct Program {
    image: &'static str,
    variables: fn(&Mailer, Of<'_>) -> Variables,
}

const PROGRAMS: [Program; 8] = [
    Program { image: "goauthentik/server", variables: authentik },
    Program { image: "forgejo/forgejo", variables: forgejo },
    Program { image: "gitea/gitea", variables: gitea },
    Program { image: "grafana/grafana", variables: grafana },
    Program { image: "outlinewiki/outline", variables: outline },
    Program { image: "decidim/decidim", variables: decidim },
    Program { image: "vaultwarden/server", variables: vaultwarden },
    Program { image: "library/nextcloud", variables: nextcloud },
];

/// Gives a service the settings of its mailer, where its program's are known.
pub(super) fn fitted(model: &Model<'_>, service: &mut Cow<'_, Service>) {
    let Some(name) = &service.mailer else { return };
    let Some(mailer) = model.fleet.mailers.get(name) else { return };
    let Some(program) = PROGRAMS.iter().find(|program| is_program(service, program.image)) else { return };
    let of = |attr: &str| {
        Value::from(Reference { mailer: Some(name.clone()), attr: Some(attr.to_owned()), ..Reference::default() })
    };
    let variables = (program.variables)(mailer, &of);
    let service = service.to_mut();
    for (variable, value) in variables.into_iter().filter_map(|(variable, value)| Some((variable, value?))) {
        service.env.entry(variable.to_owned()).or_insert(value);
    }
}

type Of<'a> = &'a dyn Fn(&str) -> Value;
type Variables = Vec<(&'static str, Option<Value>)>;

#[allow(clippy::unnecessary_wraps, reason = "stands beside values that a mailer may not have")]
fn text(text: impl Into<String>) -> Option<Value> {
    Some(Value::text(text.into()))
}

fn user(mailer: &Mailer, of: Of<'_>) -> Option<Value> {
    mailer.user.as_ref().map(|_| of("user"))
}

fn password(mailer: &Mailer, of: Of<'_>) -> Option<Value> {
    mailer.password.as_ref().map(|_| of("password"))
}

/// The address of the sender alone, for programs that take no name beside it, and that name.
fn sender(mailer: &Mailer, of: Of<'_>) -> (Value, Option<Value>) {
    match named(&mailer.from) {
        Some((name, address)) => (Value::text(address), (!name.is_empty()).then(|| Value::text(name))),
        None => (of("from"), None),
    }
}

/// The parts of `NAME <ADDRESS>` (RFC 5322, section 3.4); none of a plain address.
fn named(from: &str) -> Option<(String, &str)> {
    let (name, address) = from.trim().strip_suffix('>')?.rsplit_once('<')?;
    let name = name.trim();
    let Some(quoted) = name.strip_prefix('"').and_then(|name| name.strip_suffix('"')) else {
        return Some((name.to_owned(), address.trim()));
    };
    let mut plain = String::new();
    let mut chars = quoted.chars();
    while let Some(c) = chars.next() {
        plain.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    Some((plain, address.trim()))
}

/// Both sides of the sender's address.
fn sides(mailer: &Mailer) -> (&str, &str) {
    let address = named(&mailer.from).map_or(mailer.from.as_str(), |(_, address)| address);
    address.rsplit_once('@').unwrap_or((address, ""))
}

fn yes(is: bool) -> Option<Value> {
    text(if is { "true" } else { "false" })
}

fn authentik(mailer: &Mailer, of: Of<'_>) -> Variables {
    vec![
        ("AUTHENTIK_EMAIL__HOST", Some(of("host"))),
        ("AUTHENTIK_EMAIL__PORT", Some(of("port"))),
        ("AUTHENTIK_EMAIL__USERNAME", user(mailer, of)),
        ("AUTHENTIK_EMAIL__PASSWORD", password(mailer, of)),
        ("AUTHENTIK_EMAIL__USE_TLS", yes(mailer.tls == MailTls::Starttls)),
        ("AUTHENTIK_EMAIL__USE_SSL", yes(mailer.tls == MailTls::Implicit)),
        ("AUTHENTIK_EMAIL__FROM", Some(of("from"))),
    ]
}

/// Its start script writes variables of this form into app.ini.
fn forgejo(mailer: &Mailer, of: Of<'_>) -> Variables {
    vec![
        ("FORGEJO__mailer__ENABLED", text("true")),
        ("FORGEJO__mailer__PROTOCOL", protocol(mailer)),
        ("FORGEJO__mailer__SMTP_ADDR", Some(of("host"))),
        ("FORGEJO__mailer__SMTP_PORT", Some(of("port"))),
        ("FORGEJO__mailer__FROM", Some(of("from"))),
        ("FORGEJO__mailer__USER", user(mailer, of)),
        ("FORGEJO__mailer__PASSWD", password(mailer, of)),
    ]
}

fn gitea(mailer: &Mailer, of: Of<'_>) -> Variables {
    vec![
        ("GITEA__mailer__ENABLED", text("true")),
        ("GITEA__mailer__PROTOCOL", protocol(mailer)),
        ("GITEA__mailer__SMTP_ADDR", Some(of("host"))),
        ("GITEA__mailer__SMTP_PORT", Some(of("port"))),
        ("GITEA__mailer__FROM", Some(of("from"))),
        ("GITEA__mailer__USER", user(mailer, of)),
        ("GITEA__mailer__PASSWD", password(mailer, of)),
    ]
}

fn protocol(mailer: &Mailer) -> Option<Value> {
    text(match mailer.tls {
        MailTls::Starttls => "smtp+starttls",
        MailTls::Implicit => "smtps",
        MailTls::None => "smtp",
    })
}

fn grafana(mailer: &Mailer, of: Of<'_>) -> Variables {
    // TLS from the first byte follows from port 465.
    let policy = if mailer.tls == MailTls::Starttls { "MandatoryStartTLS" } else { "NoStartTLS" };
    // With anything but an address it does not start.
    let (address, name) = sender(mailer, of);
    vec![
        ("GF_SMTP_ENABLED", text("true")),
        ("GF_SMTP_HOST", text(format!("{}:{}", mailer.host, mailer.port))),
        ("GF_SMTP_USER", user(mailer, of)),
        ("GF_SMTP_PASSWORD", password(mailer, of)),
        ("GF_SMTP_FROM_ADDRESS", Some(address)),
        ("GF_SMTP_FROM_NAME", name),
        ("GF_SMTP_STARTTLS_POLICY", text(policy)),
    ]
}

fn outline(mailer: &Mailer, of: Of<'_>) -> Variables {
    vec![
        ("SMTP_HOST", Some(of("host"))),
        ("SMTP_PORT", Some(of("port"))),
        ("SMTP_USERNAME", user(mailer, of)),
        ("SMTP_PASSWORD", password(mailer, of)),
        ("SMTP_FROM_EMAIL", Some(of("from"))),
        ("SMTP_SECURE", yes(mailer.tls == MailTls::Implicit)),
    ]
}

fn decidim(mailer: &Mailer, of: Of<'_>) -> Variables {
    let (_, domain) = sides(mailer);
    vec![
        ("SMTP_ADDRESS", Some(of("host"))),
        ("SMTP_PORT", Some(of("port"))),
        ("SMTP_USERNAME", user(mailer, of)),
        ("SMTP_PASSWORD", password(mailer, of)),
        ("SMTP_DOMAIN", text(domain)),
        ("SMTP_STARTTLS_AUTO", yes(mailer.tls == MailTls::Starttls)),
    ]
}

fn vaultwarden(mailer: &Mailer, of: Of<'_>) -> Variables {
    let security = match mailer.tls {
        MailTls::Starttls => "starttls",
        MailTls::Implicit => "force_tls",
        MailTls::None => "off",
    };
    let (address, name) = sender(mailer, of);
    vec![
        ("SMTP_HOST", Some(of("host"))),
        ("SMTP_PORT", Some(of("port"))),
        ("SMTP_SECURITY", text(security)),
        ("SMTP_FROM", Some(address)),
        ("SMTP_FROM_NAME", name),
        ("SMTP_USERNAME", user(mailer, of)),
        ("SMTP_PASSWORD", password(mailer, of)),
    ]
}

fn nextcloud(mailer: &Mailer, of: Of<'_>) -> Variables {
    let (name, domain) = sides(mailer);
    // It begins TLS by itself where the server offers it.
    let secure = (mailer.tls == MailTls::Implicit).then(|| Value::text("ssl"));
    vec![
        ("SMTP_HOST", Some(of("host"))),
        ("SMTP_PORT", Some(of("port"))),
        ("SMTP_SECURE", secure),
        ("SMTP_NAME", user(mailer, of)),
        ("SMTP_PASSWORD", password(mailer, of)),
        ("MAIL_FROM_ADDRESS", text(name)),
        ("MAIL_DOMAIN", text(domain)),
    ]
}
