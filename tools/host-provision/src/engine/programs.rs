//! Where our programs lie on a host. Some hosts mount /var so that no program there can be started; then it is the first of
//! these places where one can, and all of ours lie in the same.

use contract::places;

/// The places, in the order in which they are tried. Only root can write to what leads there, so that nobody else can put a
/// program in ours' place; hence none below /tmp or /dev/shm. The last one is gone after a reboot.
pub const PROGRAMS: [&str; 5] =
    [places::BIN, "/usr/local/lib/plumbline/bin", "/opt/plumbline/bin", "/usr/lib/plumbline/bin", IN_MEMORY];

/// What a reboot takes away.
const IN_MEMORY: &str = "/run/plumbline/bin";

/// The place on this host: where this very program lies.
pub fn programs() -> &'static str {
    let own = std::env::current_exe().unwrap_or_default();
    PROGRAMS.into_iter().find(|place| own.starts_with(place)).unwrap_or(places::BIN)
}

/// Whether our programs are gone after a reboot.
pub fn are_gone_after_reboot() -> bool {
    programs() == IN_MEMORY
}
