//! Images of containers. They are pulled by digest while the old containers still run; what runs them is a unit.

use std::time::Duration;

use contract::Exit;
use contract::document::{Engine, Image, Op, OwnedThing};
use serde_json::Value;

use super::{Kind, Thing, View};
use crate::engine::apply::Apply;
use crate::engine::entry::Difference;
use crate::engine::owned::{absent, existed};
use crate::engine::process::{Ended, Process};
use crate::engine::undo::Undo;
use crate::fault::{Fault, Outcome};

/// How long a pull may take.
const LIMIT: Duration = Duration::from_secs(1800);
/// In the place of a hash: another digest of the same repository took over, and this one waits for a rollback.
pub const SUPERSEDED: &str = "superseded";

pub(super) struct ImageKind<'a>(pub(super) &'a Image);

fn program(engine: Engine) -> &'static str {
    match engine {
        Engine::Docker => "docker",
        Engine::Podman => "podman",
    }
}

/// A reference in its parts: repository, tag or digest.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Reference {
    repository: String,
    digest: Option<String>,
}

impl Reference {
    fn parse(text: &str) -> Self {
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest.to_owned())),
            None => (text, None),
        };
        // The colon of a tag comes after the last slash; one before it is a port.
        let repository = match name.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => repository,
            _ => name,
        };
        Self { repository: repository.into(), digest }
    }
}

/// What an engine has under a reference.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Held {
    id: String,
    digests: Vec<String>,
}

fn run(engine: Engine, args: &[&str]) -> Outcome<Ended> {
    Process::new(std::iter::once(program(engine)).chain(args.iter().copied())).timeout(LIMIT).run().map_err(|fault| {
        if fault.code() == "program_missing" {
            fault.hint(format!("install {} in an item before this one", program(engine)))
        } else {
            fault
        }
    })
}

fn held(engine: Engine, reference: &str) -> Outcome<Option<Held>> {
    let ended = run(engine, &["image", "inspect", reference])?;
    if !ended.good() {
        let said = ended.last_words().to_lowercase();
        // Everything else is an engine that does not answer, and that is no "missing".
        return if said.contains("no such image") || said.contains("not known") || said.contains("not found") {
            Ok(None)
        } else {
            Err(Fault::new(Exit::Unavailable, "engine_failed", format!("{} does not answer", program(engine)))
                .hint("is its daemon running? Its unit has to be started by an item before this one")
                .cause(ended.last_words()))
        };
    }
    let value: Value = serde_json::from_str(&ended.stdout).map_err(|error| {
        Fault::new(Exit::Unavailable, "engine_failed", format!("{} says something that is no JSON", program(engine)))
            .cause(error)
    })?;
    let Some(image) = value.get(0) else { return Ok(None) };
    let digests = image.get("RepoDigests").and_then(Value::as_array).into_iter().flatten();
    Ok(Some(Held {
        id: image.get("Id").and_then(Value::as_str).unwrap_or_default().to_owned(),
        digests: digests.filter_map(|digest| Some(digest.as_str()?.rsplit_once('@')?.1.to_owned())).collect(),
    }))
}

/// The digest that the registry has under a tag now; `None` where nothing on the host can ask.
fn resolve(engine: Engine, reference: &str) -> Option<String> {
    let argv: Vec<String> = match engine {
        Engine::Docker => ["docker", "buildx", "imagetools", "inspect", "--format", "{{.Manifest.Digest}}", reference]
            .map(str::to_owned)
            .to_vec(),
        Engine::Podman => ["skopeo", "inspect", "--format", "{{.Digest}}", &format!("docker://{reference}")]
            .map(str::to_owned)
            .to_vec(),
    };
    let ended = Process::new(argv).timeout(Duration::from_secs(60)).run().ok().filter(Ended::good)?;
    let digest = ended.stdout.trim();
    (digest.starts_with("sha256:") && digest.len() == 71).then(|| digest.to_owned())
}

impl ImageKind<'_> {
    /// What has to be pulled, and why; `None` where it is there.
    fn due(&self) -> Outcome<(Option<(String, String)>, String)> {
        let Image { engine, reference } = self.0;
        let here = held(*engine, reference)?;
        let observed = format!("{here:?}");
        let parsed = Reference::parse(reference);
        if parsed.digest.is_some() {
            let due = here.is_none().then(|| (reference.clone(), "missing".to_owned()));
            return Ok((due, observed));
        }
        Ok(match (here, resolve(*engine, reference)) {
            (Some(held), Some(digest)) if held.digests.contains(&digest) => (None, observed),
            (Some(_), None) => (None, observed),
            (_, Some(digest)) => {
                let why = format!("the tag is {digest} now");
                (Some((format!("{}@{digest}", parsed.repository), why)), format!("{observed} {digest}"))
            }
            (None, None) => (Some((reference.clone(), "missing".into())), observed),
        })
    }
}

impl Kind for ImageKind<'_> {
    fn label(&self) -> &'static str {
        "image"
    }

    fn name(&self) -> String {
        thing_name(self.0.engine, &self.0.reference)
    }

    fn needs_system(&self) -> bool {
        true
    }

    fn things(&self, _view: View<'_>) -> Outcome<Vec<Thing>> {
        Ok(vec![Thing { kind: "image", name: self.name() }])
    }

    fn observe(&self, view: View<'_>) -> Outcome<Difference> {
        let found = match self.due() {
            // The engine comes with a package or unit of this very document.
            Err(fault) if comes_later(view) && matches!(fault.code(), "program_missing" | "engine_failed") => {
                (Some((String::new(), "missing".to_owned())), fault.to_string())
            }
            other => other?,
        };
        let (due, observed) = found;
        let op = due.as_ref().map(|_| Op::Create);
        Ok(Difference { op, why: due.into_iter().map(|(_, why)| why).collect(), observed, ..Difference::default() })
    }

    fn converge(&self, apply: &mut Apply<'_>) -> Outcome<()> {
        apply.barrier()?;
        let Image { engine, reference } = self.0;
        let (Some((pulled, _)), _) = self.due()? else { return self.remember(apply) };
        apply.own("image", &self.name(), None, false, absent());
        apply.save_owned()?;
        let before = if pulled == *reference { None } else { held(*engine, reference)?.map(|held| held.id) };
        apply.run.note(&match before {
            Some(id) => Undo::ImageTag { engine: *engine, reference: reference.clone(), id },
            None => Undo::ImagePulled { engine: *engine, reference: reference.clone() },
        })?;
        apply.run.sync()?;
        pull(*engine, &pulled)?;
        if pulled != *reference {
            tag(*engine, &pulled, reference)?;
        }
        Ok(())
    }

    fn remember(&self, apply: &mut Apply<'_>) -> Outcome<()> {
        apply.own("image", &self.name(), None, false, existed());
        Ok(())
    }
}

/// Whether an engine may be brought by an item of the same document.
fn comes_later(view: View<'_>) -> bool {
    view.work.desired.items.iter().any(|item| item.packages.is_some() || item.unit.is_some() || item.file.is_some())
}

fn pull(engine: Engine, reference: &str) -> Outcome<()> {
    let ended = run(engine, &["pull", "--quiet", reference])?;
    if ended.good() {
        return Ok(());
    }
    Err(Fault::new(Exit::Unavailable, "pull_failed", format!("the image {reference} cannot be pulled"))
        .place(reference)
        .hint("check the name and digest, the host's way out, and whether it is logged in to the registry")
        .cause(ended.last_words()))
}

fn tag(engine: Engine, from: &str, reference: &str) -> Outcome<()> {
    let ended = run(engine, &["tag", from, reference])?;
    if ended.good() {
        return Ok(());
    }
    Err(Fault::new(Exit::Unavailable, "tag_failed", format!("the image cannot be tagged {reference}"))
        .cause(ended.last_words()))
}

fn thing_name(engine: Engine, reference: &str) -> String {
    format!("{} {reference}", program(engine))
}

fn parse_name(name: &str) -> Option<(Engine, &str)> {
    let (word, reference) = name.split_once(' ')?;
    Some((if word == "podman" { Engine::Podman } else { Engine::Docker }, reference))
}

/// Whether two images are of one repository of one engine.
pub fn same_repository(one: &str, other: &str) -> bool {
    match (parse_name(one), parse_name(other)) {
        (Some((a, one)), Some((b, other))) => {
            a == b && Reference::parse(one).repository == Reference::parse(other).repository
        }
        _ => false,
    }
}

/// What an engine has of an image that is no longer declared; `None` where it is gone or the engine is.
pub fn observed(thing: &OwnedThing) -> Option<String> {
    let (engine, reference) = parse_name(&thing.name)?;
    held(engine, reference).ok().flatten().map(|held| held.id)
}

/// Takes an image away that is no longer declared. One that a container still uses stays, and the reason is told.
///
/// # Errors
/// 75 where the engine takes too long.
pub fn take_away(apply: &mut Apply<'_>, name: &str) -> Outcome<Option<String>> {
    let Some((engine, reference)) = parse_name(name) else { return Ok(None) };
    apply.barrier()?;
    apply.run.note(&Undo::ImageGone { engine, reference: reference.to_owned() })?;
    apply.run.sync()?;
    let ended = run(engine, &["image", "rm", reference])?;
    Ok((!ended.good()).then(|| format!("it stays on the host: {}", ended.last_words())))
}

/// Lets a tag name the image again that it named before a run.
///
/// # Errors
/// 69 where the engine refuses.
pub fn restore_tag(engine: Engine, reference: &str, id: &str) -> Outcome<()> {
    tag(engine, id, reference)
}

/// Takes away what a run pulled that was put back. One that is in use stays: it is only room on the disk.
pub fn forget(engine: Engine, reference: &str) {
    let _ = run(engine, &["image", "rm", reference]);
}

/// Brings an image back that a run took away.
///
/// # Errors
/// 69 where it cannot be pulled again.
pub fn restore(engine: Engine, reference: &str) -> Outcome<()> {
    if held(engine, reference)?.is_some() { Ok(()) } else { pull(engine, reference) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_in_their_parts() {
        let repository = |text: &str| Reference::parse(text).repository;
        assert_eq!(repository("registry:5000/a/b"), "registry:5000/a/b");
        assert_eq!(repository("registry:5000/a/b:1.2"), "registry:5000/a/b");
        assert_eq!(repository("a:1@sha256:00"), "a");
        assert_eq!(Reference::parse("a@sha256:00").digest.as_deref(), Some("sha256:00"));
        assert!(same_repository("docker a@sha256:1", "docker a:latest"));
        assert!(!same_repository("docker a@sha256:1", "podman a@sha256:1"));
        assert!(!same_repository("docker a@sha256:1", "docker b@sha256:1"));
    }
}
