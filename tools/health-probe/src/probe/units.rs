//! What systemd says of its units: asked for once a round for all checks of one manager, because every call of systemctl costs a
//! process and a talk over the bus.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::process::Command;
use tokio::sync::Mutex;

use super::quoted;
use crate::observation::Problem;
use crate::reason::Reason;

const PROPERTIES: &str = "LoadState,ActiveState,SubState,Result,Type,NRestarts,ExecMainStatus";

/// A manager of units: that of the machine, or that of a user.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Scope {
    /// The machine's.
    System,
    /// That of a user, by name.
    User(String),
}

impl Scope {
    /// `system` (or nothing) or `user:NAME`.
    pub(super) fn parse(text: Option<&str>) -> Option<Self> {
        match text {
            None | Some("system") => Some(Scope::System),
            Some(scope) => {
                let user = scope.strip_prefix("user:")?;
                (!user.is_empty() && is_plain(user)).then(|| Scope::User(user.to_owned()))
            }
        }
    }

    /// A call of systemctl for it.
    fn systemctl(&self) -> Command {
        let mut command = Command::new("systemctl");
        if let Scope::User(user) = self {
            command.args(["--user", &format!("--machine={user}@.host")]);
        }
        command.env("LC_ALL", "C").stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// What systemctl prints.
    ///
    /// # Errors
    /// There is no systemctl, or nobody whom it could ask.
    pub(super) async fn ask(&self, arguments: &[&str]) -> Result<String, Problem> {
        let output = self
            .systemctl()
            .args(arguments)
            .output()
            .await
            .map_err(|_| Problem::error(Reason::Unsupported, "this machine has no systemctl"))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let said = quoted(said.lines().next().unwrap_or_default(), &[]);
            return Err(Problem::error(Reason::Unsupported, format!("systemctl cannot ask systemd: {said}")));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// Signs that stand in names of units and users.
pub(super) fn is_plain(text: &str) -> bool {
    !text.starts_with('-') && text.bytes().all(|b| b.is_ascii_alphanumeric() || b":-_.\\@".contains(&b))
}

/// The properties of one unit.
pub(super) type Properties = BTreeMap<String, String>;
/// What was answered for all units of a manager.
type Answer = Result<HashMap<String, Properties>, Problem>;

/// The answer of a round, where there was one.
type Known = Option<(u64, Arc<Answer>)>;

/// What systemd says, by manager.
#[derive(Debug, Default)]
pub(crate) struct Units {
    names: BTreeMap<Scope, BTreeSet<String>>,
    round: AtomicU64,
    known: BTreeMap<Scope, Mutex<Known>>,
}

impl Units {
    /// For these units.
    pub(crate) fn new(units: impl IntoIterator<Item = (Scope, String)>) -> Self {
        let mut names: BTreeMap<Scope, BTreeSet<String>> = BTreeMap::new();
        for (scope, name) in units {
            names.entry(scope).or_default().insert(name);
        }
        let known = names.keys().map(|scope| (scope.clone(), Mutex::default())).collect();
        Self { names, round: AtomicU64::new(0), known }
    }

    /// What was said before does not count any more.
    pub(crate) fn next_round(&self) {
        self.round.fetch_add(1, Ordering::Relaxed);
    }

    /// The properties of a unit.
    ///
    /// # Errors
    /// systemd could not be asked.
    pub(super) async fn of(&self, scope: &Scope, name: &str) -> Result<Properties, Problem> {
        let (Some(names), Some(known)) = (self.names.get(scope), self.known.get(scope)) else {
            return Err(Problem::error(Reason::Internal, "nobody asked for this unit"));
        };
        let round = self.round.load(Ordering::Relaxed);
        // The first that comes asks for all; the others wait here.
        let mut known = known.lock().await;
        let answer = match &*known {
            Some((of_round, answer)) if *of_round == round => Arc::clone(answer),
            _ => {
                let answer = Arc::new(ask(scope, names).await);
                *known = Some((round, Arc::clone(&answer)));
                answer
            }
        };
        match &*answer {
            Ok(units) => Ok(units.get(name).cloned().unwrap_or_default()),
            Err(problem) => Err(problem.clone()),
        }
    }
}

async fn ask(scope: &Scope, names: &BTreeSet<String>) -> Answer {
    let mut arguments = vec!["show", "--property", PROPERTIES, "--"];
    arguments.extend(names.iter().map(String::as_str));
    let shown = scope.ask(&arguments).await?;
    let units = parse(&shown);
    if units.len() != names.len() {
        let message = format!("systemctl told of {} units when asked for {}", units.len(), names.len());
        return Err(Problem::error(Reason::Unsupported, message));
    }
    Ok(names.iter().cloned().zip(units).collect())
}

/// Blocks of `Key=value`, in the order of the question, with a blank line between two.
fn parse(shown: &str) -> Vec<Properties> {
    let mut units = vec![Properties::new()];
    for line in shown.lines() {
        match line.split_once('=') {
            Some((key, value)) => {
                if let Some(unit) = units.last_mut() {
                    unit.insert(key.to_owned(), value.to_owned());
                }
            }
            None if line.is_empty() => units.push(Properties::new()),
            None => {}
        }
    }
    units.retain(|unit| !unit.is_empty());
    units
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_taken_apart() {
        let units = parse("LoadState=loaded\nResult=a=b\n\nLoadState=not-found\n");
        assert_eq!(units.len(), 2);
        assert_eq!(units[0]["Result"], "a=b");
        assert_eq!(units[1]["LoadState"], "not-found");
        assert!(parse("").is_empty());
    }

    #[test]
    fn scopes_are_read() {
        assert_eq!(Scope::parse(Some("user:ann")), Some(Scope::User("ann".into())));
        assert_eq!(Scope::parse(None), Some(Scope::System));
        for wrong in ["user:", "user:-x", "user:a b", "root"] {
            assert_eq!(Scope::parse(Some(wrong)), None, "{wrong}");
        }
    }
}
