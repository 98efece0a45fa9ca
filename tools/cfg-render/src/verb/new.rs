//! `cfg-render new`: a fleet to begin with.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use clap::Args;
use cli::{Failure, Session};
use contract::{Exit, Level, SchemaId};
use serde_json::{Map, Value, json};

use crate::fleet::{Fleet, Os};

/// What an editor completes the fleet from.
const SCHEMA: &str = "fleet.schema.json";

/// `new`
#[derive(Debug, Clone, Args)]
pub struct NewArgs {
    /// Directory of the fleet; it is made where it is not there
    #[arg(value_name = "DIR", default_value = ".")]
    directory: PathBuf,
    /// Name of the fleet; that of the directory if not given
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Name of the first host
    #[arg(long, value_name = "HOST", default_value = "web1")]
    host: String,
    /// Its address on the internet
    #[arg(long, value_name = "IP")]
    address: IpAddr,
    /// What it runs: debian-12, debian-13, ubuntu-24.04, nixos-25.11
    #[arg(long, value_name = "OS", default_value = "debian-13")]
    os: String,
    /// Domain of names
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<String>,
    /// Address of a person, for certificates
    #[arg(long, value_name = "EMAIL")]
    email: Option<String>,
    /// Your public SSH key (a file ending in .pub), which may log in
    #[arg(long, value_name = "FILE")]
    ssh_key: PathBuf,
    /// Who can open the secrets: an age recipient (age1...); your SSH key if not given
    #[arg(long, value_name = "RECIPIENT")]
    recipient: Option<String>,
}

/// Does it.
pub(super) fn run(args: &NewArgs, session: &Session) -> Result<Exit, Failure> {
    let os: Os = args.os.parse().map_err(|message: String| Failure::new(Exit::Usage, "usage", message))?;
    let key = public_key(&args.ssh_key)?;
    let recipient = match &args.recipient {
        Some(recipient) => recipient.clone(),
        None if key.starts_with("ssh-ed25519 ") => key.split_whitespace().take(2).collect::<Vec<_>>().join(" "),
        None => {
            return Err(Failure::new(Exit::Usage, "usage", "only an Ed25519 SSH key can open secrets too")
                .hint("run `secret-encrypt keygen age.key`, keep that file to yourself, and give the recipient that it prints as --recipient"));
        }
    };
    let name = args.name.clone().unwrap_or_else(|| name_of(&args.directory));
    let fleet = fleet(args, &os, &name, &key, &recipient);
    let text = cli::canonical_json(SchemaId::FLEET, &fleet, false);
    judge(&fleet)?;
    let schema = serde_json::to_string_pretty(&contract::schema_of::<Fleet>()).unwrap_or_default() + "\n";
    let files = [
        ("fleet.json", text),
        (SCHEMA, schema),
        (".sops.yaml", rules(&args.host, &recipient)),
        (".gitignore", IGNORED.to_owned()),
        (".github/workflows/fleet.yml", WORKFLOW.to_owned()),
    ];
    // Nothing is begun that cannot be ended without touching what is there.
    for (file, _) in &files {
        let path = args.directory.join(file);
        if fs::symlink_metadata(&path).is_ok() {
            return Err(Failure::new(
                Exit::CannotCreate,
                "exists",
                "there is such a file already, and nothing was written",
            )
            .place(path.display().to_string())
            .hint("choose another directory, or move the file away"));
        }
    }
    let mut said = String::new();
    for (file, text) in &files {
        create(&args.directory.join(file), text)?;
        said.push_str(&format!("made {}\n", args.directory.join(file).display()));
    }
    let fleet = args.directory.join("fleet.json");
    // No private key is made here: one that opens secrets belongs to a person, and is there already or comes from keygen.
    let opener = match &args.recipient {
        Some(_) => "the age key whose recipient you gave",
        None => "your SSH key",
    };
    said.push_str(&format!(
        "\nSecrets open with {opener}, and with the key of the host after its first bootstrap.\n\
         Next: write your services into {0}, then\n  cfg-render check {0}\n  cfg-render secrets --all {0} | secret-encrypt create --missing --base {2}\n  just bootstrap {1}\n",
        fleet.display(),
        args.host,
        args.directory.display()
    ));
    session.print_bytes(said.as_bytes())?;
    Ok(Exit::Done)
}

fn public_key(path: &Path) -> Result<String, Failure> {
    let text = fs::read_to_string(path)
        .map_err(|error| Failure::io(Exit::Unreadable, "read the key", path.display(), &error))?;
    if text.contains("PRIVATE KEY") {
        return Err(Failure::new(
            Exit::Refused,
            "private_key",
            "this is a private key, which never belongs into a fleet",
        )
        .place(path.display().to_string())
        .hint("give the file that ends in .pub"));
    }
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    match (lines.next(), lines.next()) {
        (Some(line), None) => Ok(line.to_owned()),
        _ => {
            Err(Failure::new(Exit::BadDocument, "bad_key", "a public key is one line")
                .place(path.display().to_string()))
        }
    }
}

/// The name of a directory as that of a fleet.
fn name_of(directory: &Path) -> String {
    let absolute = std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned());
    let name = absolute.file_name().and_then(|name| name.to_str()).unwrap_or("fleet").to_ascii_lowercase();
    let name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let name = name.trim_matches('-');
    if name.starts_with(|c: char| c.is_ascii_lowercase()) {
        name.to_owned()
    } else {
        format!("fleet-{name}").trim_end_matches('-').to_owned()
    }
}

fn fleet(args: &NewArgs, os: &Os, name: &str, key: &str, recipient: &str) -> Value {
    let mut whole = Map::new();
    whole.insert("$schema".into(), json!(format!("./{SCHEMA}")));
    whole.insert("name".into(), json!(name));
    for (name, value) in [("domain", &args.domain), ("email", &args.email)] {
        if let Some(value) = value {
            whole.insert(name.into(), json!(value));
        }
    }
    let mut admin = json!({"groups": ["admins"], "ssh_keys": [key], "age_recipients": [recipient]});
    if let (Some(email), Value::Object(admin)) = (&args.email, &mut admin) {
        admin.insert("emails".into(), json!([email]));
    }
    whole.insert("people".into(), json!({"admin": admin}));
    let mut host =
        json!({"os": os.to_string(), "addresses": {"public": [args.address]}, "ssh": {"groups": ["admins"]}});
    if let (true, Value::Object(host)) = (os.is_nixos(), &mut host) {
        host.insert("disk".into(), json!({"device": "/dev/sda"}));
    }
    whole.insert("hosts".into(), json!({args.host.as_str(): host}));
    whole.insert("services".into(), json!({}));
    Value::Object(whole)
}

/// The result is good, or nothing is written.
fn judge(value: &Value) -> Result<(), Failure> {
    let mut value = value.clone();
    cli::strip_extensions(&mut value);
    let fleet: Fleet = serde_json::from_value(value)
        .map_err(|error| Failure::new(Exit::Usage, "usage", "these words make no fleet").cause(error))?;
    let findings = crate::check::check(&fleet);
    let broken: Vec<_> = findings.into_iter().filter(|finding| finding.level == Level::Error).collect();
    if broken.is_empty() { Ok(()) } else { Err(Failure::bad_document(broken)) }
}

fn rules(host: &str, recipient: &str) -> String {
    format!(
        "# Who can open which secret. The first bootstrap of a host adds the host's own key to the rule of its file.\n\
         creation_rules:\n  - path_regex: ^secrets/{host}\\.yaml$\n    age: {recipient}\n  - path_regex: ^secrets/.*\\.yaml$\n    age: {recipient}\n"
    )
}

const IGNORED: &str = "# What the pipelines remember, and keys that open secrets.\n.plumbline/\nage.key\n*.agekey\nid_*\n!*.pub\nresult\n";

const WORKFLOW: &str = "# Every change of the fleet is checked before it is merged.\n\
name: fleet\non: [push, pull_request]\npermissions:\n  contents: read\njobs:\n  check:\n    runs-on: ubuntu-latest\n    steps:\n      \
- uses: actions/checkout@v4\n      # Both are single files: a runner of your own may have them, or a step before this one fetches yours.\n      \
- name: The programs are on this runner\n        run: command -v cfg-render && command -v secret-encrypt\n      \
- name: Check the fleet\n        run: cfg-render check --output text fleet.json\n      \
- name: Check that every secret is there and encrypted for its hosts\n        run: cfg-render secrets --all fleet.json | secret-encrypt check --base .\n";

fn create(path: &Path, text: &str) -> Result<(), Failure> {
    use std::io::Write;
    let failed = |error: &std::io::Error| Failure::io(Exit::CannotCreate, "write the file", path.display(), error);
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        fs::create_dir_all(parent).map_err(|error| failed(&error))?;
    }
    // Between the look and the write somebody else may have made it.
    let mut file = fs::OpenOptions::new().write(true).create_new(true).open(path).map_err(|error| failed(&error))?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(|error| failed(&error))
}
