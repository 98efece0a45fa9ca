//! From what is declared and what was observed to the changes between them.

use std::collections::{BTreeMap, BTreeSet};

use contract::document::{Op, PgDatabase, PgDesired, PgLocaleProvider, PgMembership, PgOrphan, PgRole};

use crate::change::{Change, Phase};
use crate::grants;
use crate::inside::{Inside, wants_inside};
use crate::observed::{Database, Observed, Role};
use crate::quote::{ident, literal};
use crate::setting;
use crate::verifier::Match;

/// What is known of one declared password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Password {
    /// How it compares with what the server stores; none where that may not be read.
    pub stored: Option<Match>,
    /// The verifier to send, where one is needed.
    pub verifier: Option<String>,
    /// Set it although it cannot be compared.
    pub forced: bool,
}

/// Everything that planning finds out.
#[derive(Debug, Default)]
pub(crate) struct Planned {
    /// The changes, in the order in which they are made.
    pub changes: Vec<Change>,
    /// Irreplaceable things of the owner that are no longer declared.
    pub orphaned: Vec<PgOrphan>,
    /// Remembered things that are gone: kind and name.
    pub vanished: Vec<(String, String)>,
    /// What a person should know.
    pub warnings: Vec<String>,
    /// Things that are as they should be.
    pub unchanged: u64,
}

/// Compares.
pub(crate) fn plan(desired: &PgDesired, observed: &Observed, passwords: &BTreeMap<String, Password>) -> Planned {
    let mut planned = Planned::default();
    for role in &desired.roles {
        planned.role(role, desired, observed, passwords.get(&role.name));
    }
    for role in &desired.roles {
        for membership in &role.member_of {
            planned.membership(role, membership, observed);
        }
    }
    for database in &desired.databases {
        planned.database(database, desired, observed);
    }
    planned.orphans(desired, observed);
    // Stable: changes of one phase stay in the order of the document.
    planned.changes.sort_by(|a, b| a.phase.cmp(&b.phase));
    planned
}

impl Planned {
    fn role(&mut self, role: &PgRole, desired: &PgDesired, observed: &Observed, password: Option<&Password>) {
        let id = format!("role/{}", role.name);
        let Some(found) = observed.roles.get(&role.name) else {
            self.changes.push(create_role(id, role, password).from(&role.from));
            return;
        };
        self.foreign(desired, observed, "role", &role.name);
        self.attributes(&id, role, found);
        self.password(&id, role, found, observed, password);
        for (name, value) in &role.settings {
            let stored = stored_setting(found.settings.as_deref().unwrap_or_default(), name);
            let target = format!("ALTER ROLE {}", ident(&role.name));
            self.setting(&id, &target, Phase::Roles, None, (name, value, stored), &role.from);
        }
    }

    fn attributes(&mut self, id: &str, role: &PgRole, found: &Role) {
        let switches = [
            (role.login, found.login, "LOGIN", "NOLOGIN"),
            (role.create_database, found.makes_databases, "CREATEDB", "NOCREATEDB"),
            (role.create_role, found.makes_roles, "CREATEROLE", "NOCREATEROLE"),
            (role.replication, found.replication, "REPLICATION", "NOREPLICATION"),
        ];
        let mut words: Vec<String> = Vec::new();
        for (wanted, found, on, off) in switches {
            match wanted {
                Some(wanted) if wanted != found => words.push(if wanted { on } else { off }.into()),
                _ => {}
            }
        }
        if let Some(limit) = role.connection_limit.filter(|limit| *limit != found.connection_limit) {
            words.push(format!("CONNECTION LIMIT {limit}"));
        }
        if words.is_empty() {
            self.unchanged += 1;
            return;
        }
        let words = words.join(" ");
        self.changes.push(
            Change::new(id.into(), Op::Update, format!("it is not {words}"), Phase::Roles, found)
                .sql(format!("ALTER ROLE {} WITH {words}", ident(&role.name)))
                .from(&role.from),
        );
    }

    fn password(&mut self, id: &str, role: &PgRole, found: &Role, observed: &Observed, password: Option<&Password>) {
        let (Some(secret), Some(password)) = (&role.password, password) else { return };
        let why = match password.stored {
            Some(Match::Same) => {
                self.unchanged += 1;
                return;
            }
            Some(Match::SameButMd5) => "the password is stored as MD5",
            Some(Match::Other) => "the stored verifier is not that of the secret",
            None if password.forced => "asked for; the stored verifier cannot be read",
            None => {
                self.warnings.push(format!(
                    "the password of role \"{0}\" cannot be compared, because pg_authid may not be read; --allow set-password:{0} sets it",
                    role.name
                ));
                return;
            }
        };
        let Some(verifier) = &password.verifier else { return };
        let alter = format!("ALTER ROLE {} PASSWORD", ident(&role.name));
        let observed = (found.login, observed.verifiers.get(&role.name));
        self.changes.push(
            Change::new(format!("{id}/password"), Op::Update, why, Phase::Roles, &observed)
                .closed_sql(
                    format!("{alter} {}", literal(verifier)),
                    format!("{alter} '[verifier of secret {}]'", secret.secret),
                )
                .from(&role.from),
        );
    }

    fn setting(
        &mut self,
        id: &str,
        target: &str,
        phase: Phase,
        needs: Option<&str>,
        (name, value, stored): (&str, &str, Option<&str>),
        from: &[contract::Pointer],
    ) {
        if stored.is_some_and(|stored| setting::same(name, stored, value)) {
            self.unchanged += 1;
            return;
        }
        let (op, why) = match stored {
            Some(_) => (Op::Update, "it has another value"),
            None => (Op::Create, "it is not set"),
        };
        let mut change = Change::new(format!("{id}/setting/{name}"), op, why, phase, &stored)
            .sql(format!("{target} {}", setting::clause(name, value)))
            .from(from);
        change.needs = needs.map(str::to_owned);
        self.changes.push(change);
    }

    fn membership(&mut self, role: &PgRole, membership: &PgMembership, observed: &Observed) {
        let PgMembership { role: group, inherit, set, admin } = membership;
        if observed.has_member(group, &role.name, *inherit, *set, *admin) {
            self.unchanged += 1;
            return;
        }
        let found: Vec<_> = observed.memberships(group, &role.name).collect();
        let id = format!("role/{}/member/{group}", role.name);
        let (op, why) = if found.is_empty() {
            (Op::Create, "it is no member")
        } else {
            (Op::Update, "the membership has other options")
        };
        let mut change = Change::new(id, op, why, Phase::Roles, &found).from(&role.from);
        let (group, member) = (ident(group), ident(&role.name));
        if observed.version >= 160_000 {
            let word = |on: bool| if on { "TRUE" } else { "FALSE" };
            change = change.sql(format!(
                "GRANT {group} TO {member} WITH ADMIN {}, INHERIT {}, SET {}",
                word(*admin),
                word(*inherit),
                word(*set)
            ));
        } else {
            change = change.sql(format!("GRANT {group} TO {member}{}", if *admin { " WITH ADMIN OPTION" } else { "" }));
            if !*admin && found.iter().any(|found| found.admin) {
                change = change.sql(format!("REVOKE ADMIN OPTION FOR {group} FROM {member}"));
            }
        }
        self.changes.push(change);
    }

    fn database(&mut self, database: &PgDatabase, desired: &PgDesired, observed: &Observed) {
        let id = format!("database/{}", database.name);
        let new = Inside::of_new_database();
        let inside = match observed.databases.get(&database.name) {
            None => {
                self.changes.push(create_database(id.clone(), database, observed).from(&database.from));
                Some(&new)
            }
            Some(found) => {
                self.foreign(desired, observed, "database", &database.name);
                self.existing_database(&id, database, found);
                observed.inside.get(&database.name)
            }
        };
        let found = observed.databases.get(&database.name);
        for (name, value) in &database.settings {
            let stored = found.and_then(|found| stored_setting(&found.settings, name));
            let target = format!("ALTER DATABASE {}", ident(&database.name));
            let needs = Some(database.name.as_str());
            self.setting(&id, &target, Phase::Databases, needs, (name, value, stored), &database.from);
        }
        if desired.defaults.revoke_public_connect {
            self.public_connect(&id, database, found);
        }
        let nothing = Inside::default();
        match inside {
            Some(inside) => self.inside(&id, database, desired, observed, inside),
            None if wants_inside(database, &desired.defaults) => {
                self.warnings
                    .push(format!("database \"{}\" takes no connections; its inside is left alone", database.name));
            }
            None => {
                let changes = grants::plan(database, &nothing, observed, &mut self.unchanged);
                self.changes.extend(changes);
            }
        }
    }

    fn existing_database(&mut self, id: &str, database: &PgDatabase, found: &Database) {
        let mut change =
            Change::new(id.into(), Op::Update, "", Phase::Databases, &(&found.owner, found.connection_limit));
        let name = ident(&database.name);
        let mut why = Vec::new();
        if let Some(owner) = database.owner.as_ref().filter(|owner| **owner != found.owner) {
            why.push(format!("its owner is {}, not {owner}", found.owner));
            change = change.sql(format!("ALTER DATABASE {name} OWNER TO {}", ident(owner)));
        }
        if let Some(limit) = database.connection_limit.filter(|limit| *limit != found.connection_limit) {
            why.push(format!("its connection limit is {}, not {limit}", found.connection_limit));
            change = change.sql(format!("ALTER DATABASE {name} CONNECTION LIMIT {limit}"));
        }
        if why.is_empty() {
            self.unchanged += 1;
        } else {
            change.why = why.join("; ");
            self.changes.push(change.needs(&database.name).from(&database.from));
        }
        if let Some(encoding) = &database.encoding
            && squeezed(encoding) != squeezed(&found.encoding)
        {
            self.warnings.push(format!(
                "database \"{}\" has the encoding {}, not {encoding}; that is never changed (dump it and make it anew)",
                database.name, found.encoding
            ));
        }
        if let Some(locale) = &database.locale {
            let provider = match locale.provider {
                PgLocaleProvider::Libc => "c",
                PgLocaleProvider::Icu => "i",
                PgLocaleProvider::Builtin => "b",
            };
            let stored = found.locale.as_deref().unwrap_or_default();
            if provider != found.provider || squeezed(stored) != squeezed(&locale.name) {
                self.warnings.push(format!(
                    "database \"{}\" has the locale {stored}, not {}; that is never changed (dump it and make it anew)",
                    database.name, locale.name
                ));
            }
        }
    }

    fn public_connect(&mut self, id: &str, database: &PgDatabase, found: Option<&Database>) {
        let open =
            found.is_none_or(|found| found.acl.iter().any(|acl| acl.to == "public" && acl.privilege == "CONNECT"));
        let mut roles: BTreeSet<&str> = database.grants.iter().map(|grant| grant.to.as_str()).collect();
        roles.extend(database.default_privileges.iter().map(|default| default.to.as_str()));
        roles.retain(|role| {
            *role != "public"
                && !found.is_some_and(|found| found.acl.iter().any(|acl| acl.to == *role && acl.privilege == "CONNECT"))
        });
        if !open && roles.is_empty() {
            self.unchanged += 1;
            return;
        }
        let name = ident(&database.name);
        let acl: Vec<_> = found.iter().flat_map(|found| &found.acl).filter(|acl| acl.privilege == "CONNECT").collect();
        let mut change = Change::new(
            format!("{id}/connect"),
            Op::Update,
            if open { "everybody may connect" } else { "a declared role may not connect" },
            Phase::Databases,
            &acl,
        );
        for role in roles {
            change = change.sql(format!("GRANT CONNECT ON DATABASE {name} TO {}", ident(role)));
        }
        if open {
            change = change.sql(format!("REVOKE CONNECT ON DATABASE {name} FROM PUBLIC"));
        }
        self.changes.push(change.needs(&database.name).from(&database.from));
    }

    fn inside(&mut self, id: &str, database: &PgDatabase, desired: &PgDesired, observed: &Observed, inside: &Inside) {
        let phase = || Phase::Inside(database.name.clone());
        let mut changes = Vec::new();
        for schema in &database.schemas {
            let id = format!("{id}/schema/{}", schema.name);
            let name = ident(&schema.name);
            match (inside.schemas.get(&schema.name), &schema.owner) {
                (None, owner) => {
                    let owner = owner.as_ref().map(|o| format!(" AUTHORIZATION {}", ident(o))).unwrap_or_default();
                    let change = Change::new(id, Op::Create, "it is not there", phase(), &());
                    changes.push(change.sql(format!("CREATE SCHEMA IF NOT EXISTS {name}{owner}")));
                }
                (Some(found), Some(owner)) if found.owner != *owner => {
                    let why = format!("its owner is {}, not {owner}", found.owner);
                    let change = Change::new(id, Op::Update, why, phase(), &found.owner);
                    changes.push(change.sql(format!("ALTER SCHEMA {name} OWNER TO {}", ident(owner))));
                }
                _ => self.unchanged += 1,
            }
        }
        for extension in &database.extensions {
            let id = format!("{id}/extension/{}", extension.name);
            let name = ident(&extension.name);
            let newest = observed.available.get(&extension.name);
            let Some(found) = inside.extensions.get(&extension.name) else {
                if newest.is_none() {
                    self.warnings.push(format!(
                        "the server does not have the extension \"{}\"; install its package",
                        extension.name
                    ));
                }
                let schema = extension.schema.as_ref().map(|s| format!(" SCHEMA {}", ident(s))).unwrap_or_default();
                let change = Change::new(id, Op::Create, "it is not there", phase(), &());
                changes.push(change.sql(format!("CREATE EXTENSION IF NOT EXISTS {name}{schema}")));
                continue;
            };
            let mut change = Change::new(id, Op::Update, "", phase(), found);
            if let Some(schema) = extension.schema.as_ref().filter(|schema| **schema != found.schema) {
                change.why = format!("it is in schema {}, not {schema}", found.schema);
                change = change.sql(format!("ALTER EXTENSION {name} SET SCHEMA {}", ident(schema)));
            }
            if let Some(newest) = newest.filter(|newest| extension.update && **newest != found.version) {
                change.why = format!("its version is {}, not {newest}", found.version);
                change = change.sql(format!("ALTER EXTENSION {name} UPDATE"));
            }
            if change.statements.is_empty() {
                self.unchanged += 1;
            } else {
                changes.push(change);
            }
        }
        if desired.defaults.secure_public_schema
            && let Some(public) = inside.schemas.get("public")
        {
            if public.acl.iter().any(|acl| acl.to == "public" && acl.privilege == "CREATE") {
                changes.push(
                    Change::new(
                        format!("{id}/public-schema"),
                        Op::Update,
                        "everybody may create in schema public",
                        phase(),
                        &public.acl,
                    )
                    .sql("REVOKE CREATE ON SCHEMA public FROM PUBLIC"),
                );
            } else {
                self.unchanged += 1;
            }
        }
        self.changes.extend(changes.into_iter().map(|change| change.needs(&database.name).from(&database.from)));
        let changes = grants::plan(database, inside, observed, &mut self.unchanged);
        self.changes.extend(changes);
    }

    /// Says so where something that is declared was made for another owner.
    fn foreign(&mut self, desired: &PgDesired, observed: &Observed, kind: &str, name: &str) {
        let other = observed.owned.iter().find(|o| o.kind == kind && o.name == name && o.owner != desired.owner);
        if let Some(other) = other {
            self.warnings.push(format!("{kind} \"{name}\" was made for \"{}\", and is declared here too", other.owner));
        }
    }

    fn orphans(&mut self, desired: &PgDesired, observed: &Observed) {
        let roles: BTreeSet<&str> = desired.roles.iter().map(|role| role.name.as_str()).collect();
        let databases: BTreeSet<&str> = desired.databases.iter().map(|database| database.name.as_str()).collect();
        for owned in observed.owned.iter().filter(|owned| owned.owner == desired.owner) {
            let name = owned.name.as_str();
            let (exists, declared) = match owned.kind.as_str() {
                "role" => (observed.roles.contains_key(name), roles.contains(name)),
                "database" => (observed.databases.contains_key(name), databases.contains(name)),
                _ => continue,
            };
            if !exists {
                // Not yet made again if it is declared: then the creation remembers it anew.
                self.vanished.push((owned.kind.clone(), name.into()));
            } else if !declared && !desired.partial {
                let id = format!("{}/{name}", owned.kind);
                self.orphaned.push(PgOrphan { allow: format!("drop:{id}"), id });
            }
        }
    }
}

fn create_role(id: String, role: &PgRole, password: Option<&Password>) -> Change {
    let mut words = String::new();
    let switches = [
        (role.login, "LOGIN", "NOLOGIN"),
        (role.create_database, "CREATEDB", "NOCREATEDB"),
        (role.create_role, "CREATEROLE", "NOCREATEROLE"),
        (role.replication, "REPLICATION", "NOREPLICATION"),
    ];
    for (wanted, on, off) in switches {
        if let Some(wanted) = wanted {
            words.push_str(&format!(" {}", if wanted { on } else { off }));
        }
    }
    if let Some(limit) = role.connection_limit {
        words.push_str(&format!(" CONNECTION LIMIT {limit}"));
    }
    let name = ident(&role.name);
    let create = format!("CREATE ROLE {name}{words}");
    let change = Change::new(id, Op::Create, "it is not there", Phase::Roles, &()).makes("role", &role.name);
    let verifier = password.and_then(|password| password.verifier.as_ref());
    let mut change = match (&role.password, verifier) {
        (Some(secret), Some(verifier)) => change.closed_sql(
            format!("{create} PASSWORD {}", literal(verifier)),
            format!("{create} PASSWORD '[verifier of secret {}]'", secret.secret),
        ),
        _ => change.sql(create),
    };
    for (setting, value) in &role.settings {
        change = change.sql(format!("ALTER ROLE {name} {}", setting::clause(setting, value)));
    }
    change
}

fn create_database(id: String, database: &PgDatabase, observed: &Observed) -> Change {
    let mut change =
        Change::new(id, Op::Create, "it is not there", Phase::CreateDatabase, &()).makes("database", &database.name);
    let mut sql = format!("CREATE DATABASE {}", ident(&database.name));
    if let Some(owner) = &database.owner {
        sql.push_str(&format!(" OWNER {}", ident(owner)));
        // Before 16, who is no superuser must be a member of the role that shall own the database.
        if !observed.superuser && observed.version < 160_000 && *owner != observed.user {
            change = change.sql(format!("GRANT {} TO CURRENT_USER", ident(owner)));
        }
    }
    if database.encoding.is_some() || database.locale.is_some() {
        // Only template0 can be copied with another encoding or locale.
        sql.push_str(" TEMPLATE template0");
    }
    if let Some(encoding) = &database.encoding {
        sql.push_str(&format!(" ENCODING {}", literal(encoding)));
    }
    if let Some(locale) = &database.locale {
        let name = literal(&locale.name);
        match locale.provider {
            PgLocaleProvider::Libc if observed.version >= 150_000 => {
                sql.push_str(&format!(" LOCALE_PROVIDER libc LC_COLLATE {name} LC_CTYPE {name}"));
            }
            PgLocaleProvider::Libc => sql.push_str(&format!(" LC_COLLATE {name} LC_CTYPE {name}")),
            PgLocaleProvider::Icu => sql.push_str(&format!(" LOCALE_PROVIDER icu ICU_LOCALE {name}")),
            PgLocaleProvider::Builtin => sql.push_str(&format!(" LOCALE_PROVIDER builtin BUILTIN_LOCALE {name}")),
        }
    }
    if let Some(limit) = database.connection_limit {
        sql.push_str(&format!(" CONNECTION LIMIT {limit}"));
    }
    change.sql(sql)
}

fn stored_setting<'a>(settings: &'a [String], name: &str) -> Option<&'a str> {
    settings.iter().find_map(|setting| {
        setting.split_once('=').filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    })
}

/// Names of encodings and locales are compared as the server and the C library do: `UTF-8` is `utf8`.
fn squeezed(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}
