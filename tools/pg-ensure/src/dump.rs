//! What a cluster holds, as a document. Without secrets: a verifier says nothing that a document could use.

use std::collections::BTreeMap;

use contract::document::{
    PgDatabase, PgDesired, PgExtension, PgLocale, PgLocaleProvider, PgMembership, PgRole, PgSchema,
};

use crate::connection::{Connection, Target};
use crate::error::Error;
use crate::inside::Inside;
use crate::observed::observe;

/// The document for `shell` (its cluster and owner), and what it cannot say.
///
/// # Errors
/// What the server says.
pub(crate) async fn dump(
    shell: &PgDesired,
    target: &Target,
    work: &Connection,
) -> Result<(PgDesired, Vec<String>), Error> {
    let observed = observe(target, work, shell).await?;
    let mut desired = shell.clone();
    let mut remarks = Vec::new();
    for (name, found) in &observed.roles {
        if name.starts_with("pg_") {
            continue;
        }
        if found.superuser {
            if *name != observed.user {
                remarks
                    .push(format!("role \"{name}\" is a superuser, which a document cannot declare; it is left out"));
            }
            continue;
        }
        if observed.verifiers.get(name).is_some_and(Option::is_some) {
            remarks
                .push(format!("role \"{name}\" has a password; give it with \"password\": {{\"secret\": \"NAME\"}}"));
        }
        let mut member_of: Vec<PgMembership> = Vec::new();
        for member in observed.members.iter().filter(|member| member.role == *name) {
            if !member_of.iter().any(|known| known.role == member.of) {
                member_of.push(PgMembership {
                    role: member.of.clone(),
                    inherit: member.inherit.unwrap_or(true),
                    set: member.set.unwrap_or(true),
                    admin: member.admin,
                });
            }
        }
        desired.roles.push(PgRole {
            name: name.clone(),
            login: Some(found.login),
            create_database: found.makes_databases.then_some(true),
            create_role: found.makes_roles.then_some(true),
            replication: found.replication.then_some(true),
            connection_limit: Some(found.connection_limit).filter(|limit| *limit != -1),
            member_of,
            settings: settings(found.settings.as_deref().unwrap_or_default()),
            ..PgRole::default()
        });
    }
    for (name, found) in observed.databases.iter().filter(|(name, found)| !found.template && *name != "postgres") {
        let provider = match found.provider.as_str() {
            "i" => PgLocaleProvider::Icu,
            "b" => PgLocaleProvider::Builtin,
            _ => PgLocaleProvider::Libc,
        };
        let mut database = PgDatabase {
            name: name.clone(),
            owner: Some(found.owner.clone()),
            encoding: Some(found.encoding.clone()),
            locale: found.locale.clone().map(|name| PgLocale { provider, name }),
            connection_limit: Some(found.connection_limit).filter(|limit| *limit != -1),
            settings: settings(&found.settings),
            ..PgDatabase::default()
        };
        if found.connectable {
            let inside = Inside::read(&target.connect(name).await?).await?;
            for (name, extension) in inside.extensions.iter().filter(|(name, _)| *name != "plpgsql") {
                let schema = Some(extension.schema.clone()).filter(|schema| schema != "public");
                database.extensions.push(PgExtension { name: name.clone(), schema, update: false });
            }
            for (name, schema) in inside.schemas.iter().filter(|(name, _)| *name != "public") {
                database.schemas.push(PgSchema { name: name.clone(), owner: Some(schema.owner.clone()) });
            }
            if !inside.defaults.is_empty() {
                remarks.push(format!("default privileges of database \"{name}\" are left out"));
            }
        } else {
            remarks.push(format!("database \"{name}\" takes no connections; its inside is left out"));
        }
        desired.databases.push(database);
    }
    Ok((desired, remarks))
}

fn settings(stored: &[String]) -> BTreeMap<String, String> {
    stored.iter().filter_map(|setting| setting.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}
