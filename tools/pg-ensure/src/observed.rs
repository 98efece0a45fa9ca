//! What a cluster holds, read in one query for the cluster and one for each database whose inside matters.

use std::collections::BTreeMap;

use contract::document::PgDesired;
use serde::{Deserialize, Serialize};

use crate::connection::{Connection, Target};
use crate::error::Error;
use crate::inside::{Inside, wants_inside};
use crate::owned::{self, Owned};

/// A cluster. `to_jsonb` of whole catalog rows makes columns of newer versions simply present or absent.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Observed {
    /// Such as 180006.
    pub version: u32,
    /// The role that is connected.
    pub user: String,
    /// Whether it is a superuser.
    pub superuser: bool,
    /// The server takes no writes.
    pub standby: bool,
    /// Iterations for new verifiers.
    pub iterations: Option<String>,
    /// Whether stored verifiers may be read.
    pub reads_verifiers: bool,
    /// Roles by name.
    pub roles: BTreeMap<String, Role>,
    /// Memberships.
    pub members: Vec<Member>,
    /// Databases by name.
    pub databases: BTreeMap<String, Database>,
    /// Every privilege that each kind of object can give: `d` database, `n` schema, `r` table, `S` sequence, `f` function, `T` type.
    pub privileges: BTreeMap<String, Vec<String>>,
    /// Extensions that the server has, with their newest version.
    pub available: BTreeMap<String, String>,
    /// Whether ownership is remembered here already.
    pub remembers: bool,
    /// What the tools made here, of all owners.
    #[serde(skip)]
    pub owned: Vec<Owned>,
    /// Stored verifiers by role.
    #[serde(skip)]
    pub verifiers: BTreeMap<String, Option<String>>,
    /// The inside of declared databases.
    #[serde(skip)]
    pub inside: BTreeMap<String, Inside>,
}

/// A role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Role {
    #[serde(rename = "rolsuper")]
    pub superuser: bool,
    #[serde(rename = "rolcanlogin")]
    pub login: bool,
    #[serde(rename = "rolcreatedb")]
    pub makes_databases: bool,
    #[serde(rename = "rolcreaterole")]
    pub makes_roles: bool,
    #[serde(rename = "rolreplication")]
    pub replication: bool,
    #[serde(rename = "rolconnlimit")]
    pub connection_limit: i32,
    #[serde(rename = "rolconfig")]
    pub settings: Option<Vec<String>>,
}

/// A membership, `of` a role. PostgreSQL 16 and newer keep one for each grantor, and two more options.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Member {
    pub of: String,
    pub role: String,
    pub admin: bool,
    pub inherit: Option<bool>,
    pub set: Option<bool>,
}

/// A database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Database {
    pub owner: String,
    pub encoding: String,
    pub provider: String,
    pub locale: Option<String>,
    pub connection_limit: i32,
    pub template: bool,
    pub connectable: bool,
    pub settings: Vec<String>,
    /// Who may do what with it; `public` is everybody.
    pub acl: Vec<Acl>,
}

/// One privilege of one role on one object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Acl {
    /// The role, or `public` (which no role can be called).
    pub to: String,
    /// The privilege in SQL's word.
    pub privilege: String,
}

const CLUSTER: &str = r#"
SELECT jsonb_build_object(
 'version', current_setting('server_version_num')::int,
 'user', current_user,
 'superuser', (SELECT rolsuper FROM pg_roles WHERE rolname = current_user),
 'standby', pg_is_in_recovery(),
 'iterations', current_setting('scram_iterations', true),
 'reads_verifiers', has_table_privilege('pg_catalog.pg_authid', 'select'),
 'remembers', to_regclass('plumbline.owned') IS NOT NULL,
 'roles', (SELECT coalesce(jsonb_object_agg(rolname, to_jsonb(r) - 'rolpassword' - 'oid'), '{}') FROM pg_roles r),
 'members', (SELECT coalesce(jsonb_agg(jsonb_build_object('of', r.rolname, 'role', m.rolname, 'admin', a.admin_option,
     'inherit', to_jsonb(a)->'inherit_option', 'set', to_jsonb(a)->'set_option') ORDER BY r.rolname, m.rolname, a.admin_option), '[]')
   FROM pg_auth_members a JOIN pg_roles r ON r.oid = a.roleid JOIN pg_roles m ON m.oid = a.member),
 'databases', (SELECT coalesce(jsonb_object_agg(d.datname, jsonb_build_object(
     'owner', pg_get_userbyid(d.datdba), 'encoding', pg_encoding_to_char(d.encoding),
     'provider', coalesce(to_jsonb(d)->>'datlocprovider', 'c'),
     'locale', CASE WHEN coalesce(to_jsonb(d)->>'datlocprovider', 'c') = 'c' THEN d.datcollate::text
                    ELSE coalesce(to_jsonb(d)->>'datlocale', to_jsonb(d)->>'daticulocale') END,
     'connection_limit', d.datconnlimit, 'template', d.datistemplate, 'connectable', d.datallowconn,
     'settings', (SELECT coalesce(to_jsonb(s.setconfig), '[]') FROM (SELECT 1) one
        LEFT JOIN pg_db_role_setting s ON s.setdatabase = d.oid AND s.setrole = 0),
     'acl', (SELECT coalesce(jsonb_agg(jsonb_build_object('to',
         CASE WHEN a.grantee = 0 THEN 'public' ELSE pg_get_userbyid(a.grantee)::text END, 'privilege', a.privilege_type)
         ORDER BY a.grantee, a.privilege_type), '[]')
       FROM aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a))), '{}') FROM pg_database d),
 'privileges', (SELECT jsonb_object_agg(kind, (SELECT jsonb_agg(DISTINCT privilege_type) FROM
     aclexplode(acldefault(CASE kind WHEN 'S' THEN 's' ELSE kind END::"char", 10)) WHERE grantee = 10))
   FROM unnest(ARRAY['d','n','r','S','f','T']) kind),
 'available', (SELECT coalesce(jsonb_object_agg(name, default_version), '{}') FROM pg_available_extensions)
)::text"#;

/// Observes all that matters for a document. `work` stays connected to the maintenance database.
///
/// # Errors
/// Where the server cannot be asked.
pub(crate) async fn observe(target: &Target, work: &Connection, desired: &PgDesired) -> Result<Observed, Error> {
    let mut observed: Observed = work.json("reading the state of the cluster", CLUSTER).await?;
    if observed.reads_verifiers {
        let sql = "SELECT coalesce(jsonb_object_agg(rolname, rolpassword), '{}')::text FROM pg_authid";
        observed.verifiers = work.json("reading the stored verifiers", sql).await?;
    }
    if observed.remembers {
        observed.owned = owned::read(work).await?;
    }
    for database in desired.databases.iter().filter(|database| wants_inside(database, &desired.defaults)) {
        let Some(found) = observed.databases.get(&database.name) else { continue };
        if !found.connectable {
            continue;
        }
        let inside = if database.name == target.maintenance {
            Inside::read(work).await?
        } else {
            Inside::read(&target.connect(&database.name).await?).await?
        };
        observed.inside.insert(database.name.clone(), inside);
    }
    Ok(observed)
}

impl Observed {
    /// Whether `role` is a member of `of` with at least these options.
    pub(crate) fn has_member(&self, of: &str, role: &str, inherit: bool, set: bool, admin: bool) -> bool {
        self.memberships(of, role).any(|member| {
            member.inherit.is_none_or(|found| found == inherit)
                && member.set.is_none_or(|found| found == set)
                && member.admin == admin
        })
    }

    /// The memberships of `role` in `of`, one for each grantor.
    pub(crate) fn memberships(&self, of: &str, role: &str) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(move |member| member.of == of && member.role == role)
    }
}
