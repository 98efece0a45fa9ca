//! The inside of one database: extensions, schemas, and who may do what there.

use std::collections::BTreeMap;

use contract::document::{PgDatabase, PgDefaults};
use serde::{Deserialize, Serialize};

use crate::connection::Connection;
use crate::error::Error;
use crate::observed::Acl;

/// What was found inside a database.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Inside {
    /// Extensions by name.
    pub extensions: BTreeMap<String, Extension>,
    /// Schemas by name.
    pub schemas: BTreeMap<String, Schema>,
    /// Tables, views, sequences and functions with what is granted on each, counted by schema and kind.
    pub objects: Vec<Objects>,
    /// Tables and views one by one, as `schema.name`; only those that carry grants of their own.
    pub tables: BTreeMap<String, Vec<Acl>>,
    /// Grants on objects to come.
    pub defaults: Vec<DefaultAcl>,
}

/// An extension.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Extension {
    pub version: String,
    pub schema: String,
}

/// A schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Schema {
    pub owner: String,
    pub acl: Vec<Acl>,
}

/// All objects of one kind in one schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Objects {
    pub schema: String,
    /// `r` tables and views, `S` sequences, `f` functions.
    pub kind: String,
    /// How many there are.
    pub total: u64,
    /// How many of them give a privilege to a role, as `[role, privilege, count]`.
    pub granted: Vec<(String, String, u64)>,
}

/// Grants on objects that a role will make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DefaultAcl {
    pub maker: String,
    pub schema: Option<String>,
    pub kind: String,
    pub to: String,
    pub privilege: String,
}

const INSIDE: &str = r#"
WITH object AS (
  SELECT n.nspname AS schema, CASE c.relkind WHEN 'S' THEN 'S' ELSE 'r' END AS kind, n.nspname || '.' || c.relname AS name,
         coalesce(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", c.relowner)) AS acl
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE c.relkind IN ('r','p','v','m','f','S') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  UNION ALL
  SELECT n.nspname, 'f', NULL, coalesce(p.proacl, acldefault('f', p.proowner))
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
   WHERE p.prokind <> 'p' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
), given AS (
  SELECT o.schema, o.kind, CASE WHEN a.grantee = 0 THEN 'public' ELSE pg_get_userbyid(a.grantee)::text END AS grantee,
         a.privilege_type AS privilege, count(*) AS n
    FROM object o, aclexplode(o.acl) a GROUP BY 1, 2, 3, 4
)
SELECT jsonb_build_object(
 'extensions', (SELECT coalesce(jsonb_object_agg(e.extname, jsonb_build_object('version', e.extversion, 'schema', n.nspname)), '{}')
   FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace),
 'schemas', (SELECT coalesce(jsonb_object_agg(n.nspname, jsonb_build_object('owner', pg_get_userbyid(n.nspowner),
     'acl', (SELECT coalesce(jsonb_agg(jsonb_build_object('to', CASE WHEN a.grantee = 0 THEN 'public' ELSE pg_get_userbyid(a.grantee)::text END,
         'privilege', a.privilege_type) ORDER BY a.grantee, a.privilege_type), '[]')
       FROM aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a))), '{}')
   FROM pg_namespace n WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'),
 'objects', (SELECT coalesce(jsonb_agg(jsonb_build_object('schema', t.schema, 'kind', t.kind, 'total', t.n,
     'granted', (SELECT coalesce(jsonb_agg(jsonb_build_array(g.grantee, g.privilege, g.n) ORDER BY g.grantee, g.privilege), '[]')
       FROM given g WHERE g.schema = t.schema AND g.kind = t.kind)) ORDER BY t.schema, t.kind), '[]')
   FROM (SELECT schema, kind, count(*) AS n FROM object GROUP BY 1, 2) t),
 'tables', (SELECT coalesce(jsonb_object_agg(o.name, (SELECT coalesce(jsonb_agg(jsonb_build_object('to',
     CASE WHEN a.grantee = 0 THEN 'public' ELSE pg_get_userbyid(a.grantee)::text END, 'privilege', a.privilege_type)
     ORDER BY a.grantee, a.privilege_type), '[]') FROM aclexplode(o.acl) a)), '{}') FROM object o WHERE o.kind = 'r'),
 'defaults', (SELECT coalesce(jsonb_agg(jsonb_build_object('maker', pg_get_userbyid(d.defaclrole), 'schema', n.nspname,
     'kind', d.defaclobjtype, 'to', CASE WHEN a.grantee = 0 THEN 'public' ELSE pg_get_userbyid(a.grantee)::text END,
     'privilege', a.privilege_type) ORDER BY 1), '[]')
   FROM pg_default_acl d LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace, aclexplode(d.defaclacl) a)
)::text"#;

impl Inside {
    /// Reads it.
    ///
    /// # Errors
    /// What the server says.
    pub(crate) async fn read(connection: &Connection) -> Result<Self, Error> {
        connection.json("reading the state of a database", INSIDE).await
    }

    /// What a database that is yet to be made will hold at least.
    pub(crate) fn of_new_database() -> Self {
        let public = Schema {
            owner: "pg_database_owner".into(),
            acl: [("public", "CREATE"), ("public", "USAGE")]
                .map(|(to, privilege)| Acl { to: to.into(), privilege: privilege.into() })
                .into(),
        };
        Self { schemas: BTreeMap::from([("public".into(), public)]), ..Self::default() }
    }
}

/// Whether anything of a database needs a connection to it.
pub(crate) fn wants_inside(database: &PgDatabase, defaults: &PgDefaults) -> bool {
    defaults.secure_public_schema
        || !database.extensions.is_empty()
        || !database.schemas.is_empty()
        || !database.default_privileges.is_empty()
        || database.grants.iter().any(|grant| grant.on.database.is_none())
}
