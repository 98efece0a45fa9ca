//! Fixed names and places on hosts and controllers. They never contain a program's name, so that a program can be swapped.

/// Everything that the tools keep on a host.
pub const STATE: &str = "/var/lib/plumbline";
/// Shipped tools: `/var/lib/plumbline/bin/<sha256>/<tool>`.
pub const BIN: &str = "/var/lib/plumbline/bin";
/// `<owner>.json` (`host.owned/v1`): what each owner placed, with the original.
pub const OWNED: &str = "/var/lib/plumbline/owned";
/// One directory a run, with its journal and backups.
pub const RUNS: &str = "/var/lib/plumbline/runs";
/// Runs whose confirmation is awaited; not empty at boot means: roll back before the network comes up.
pub const PENDING: &str = "/var/lib/plumbline/pending";
/// The backup plan and what belongs to it.
pub const BACKUP: &str = "/var/lib/plumbline/backup";
/// The plan that the backup unit reads.
pub const BACKUP_PLAN: &str = "/var/lib/plumbline/backup/plan.json";
/// State of database upgrades.
pub const PG: &str = "/var/lib/plumbline/pg";
/// Encrypted files of this host and the manifest, as placed by the `base` stage.
pub const SECRET_FILES: &str = "/var/lib/plumbline/secrets";
/// The manifest that `plumbline-secrets.service` materialises.
pub const SECRETS_MANIFEST: &str = "/var/lib/plumbline/secrets/manifest.json";
/// The result of its last run (`secrets.result/v1`).
pub const SECRETS_RESULT: &str = "/run/plumbline/secrets.result.json";
/// Sockets, locks and other things that do not survive a reboot.
pub const RUN: &str = "/run/plumbline";
/// The lock of an apply on a host (flock).
pub const LOCK: &str = "/run/plumbline/apply.lock";
/// Values of secrets, one file a secret.
pub const SECRETS: &str = "/run/secrets";
/// Generations of secrets; `SECRETS` links to the current one.
pub const SECRETS_GENERATIONS: &str = "/run/secrets.d";
/// Filled templates.
pub const RENDERED: &str = "/run/secrets/rendered";
/// The oneshot unit that materialises secrets; consumers get `Requires=` and `After=` on it.
pub const SECRETS_UNIT: &str = "plumbline-secrets.service";
/// Units of ours begin with this.
pub const UNIT_PREFIX: &str = "plumbline-";
/// The one nftables table of ours: family and name.
pub const NFT_TABLE: &str = "inet plumbline";
/// The set in that table that holds the TCP ports on which sshd must be reachable.
pub const NFT_SSH_PORTS: &str = "ssh_ports";
/// Environment: where the tools of each architecture lie, `$PLUMBLINE_LIB/<arch>/<tool>`.
pub const LIB_VARIABLE: &str = "PLUMBLINE_LIB";
/// Environment: directory with the secrets of one process, one file a secret (also set by systemd's `LoadCredential=`).
pub const CREDENTIALS_VARIABLE: &str = "CREDENTIALS_DIRECTORY";
/// Environment: the controller's state directory.
pub const STATE_VARIABLE: &str = "STATE_DIR";
/// The controller's state directory where that is not set, beside the fleet.
pub const CONTROLLER_STATE: &str = ".plumbline";
