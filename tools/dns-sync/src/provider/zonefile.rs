//! Zone files in a directory of the controller.

use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use cli::{Failure, write_atomically};
use contract::Exit;
use contract::document::ZoneFile;

use super::{DEFAULT_TTL, Edit, Provider, ZoneWriter};
use crate::error::DnsError;
use crate::live_zone::{LiveValue, LiveZone};
use crate::name::Name;
use crate::rdata::Rdata;
use crate::record_type::RecordType;
use crate::rrset::{Key, Rrset};
use crate::zone_file::{parse, write};

/// A directory with one `ZONE.zone` a zone.
pub(super) struct ZoneFiles {
    base: PathBuf,
    directory: PathBuf,
}

impl ZoneFiles {
    pub(super) fn open(provider: &ZoneFile, base: &Path) -> Self {
        Self { base: base.to_owned(), directory: PathBuf::from(&provider.directory) }
    }

    /// The file of a zone, which must lie below the base directory, links followed.
    fn path(&self, zone: &Name) -> Result<PathBuf, DnsError> {
        // A slash (RFC 2317) and escapes cannot stand in a file's name.
        let file: String = zone
            .without_dot()
            .chars()
            .map(|char| if char.is_ascii_alphanumeric() || "-_.".contains(char) { char } else { '_' })
            .collect();
        // `.` says nothing, and is left out of what errors show.
        let directory =
            if self.base == Path::new(".") { self.directory.clone() } else { self.base.join(&self.directory) };
        let path = directory.join(format!("{file}.zone"));
        let leads_out = || DnsError::PathLeadsOut { path: path.display().to_string() };
        let plain = self.directory.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        if !plain {
            return Err(leads_out());
        }
        let failed = |error: &std::io::Error| {
            DnsError::from(
                Failure::io(Exit::Unreadable, "open the directory of zone files", directory.display(), error)
                    .hint("make the directory, or give another --base"),
            )
        };
        let base = self.base.canonicalize().map_err(|error| failed(&error))?;
        if !directory.canonicalize().map_err(|error| failed(&error))?.starts_with(base) {
            return Err(leads_out());
        }
        match path.symlink_metadata() {
            Ok(metadata) if metadata.file_type().is_symlink() => Err(leads_out()),
            _ => Ok(path),
        }
    }
}

/// The file's text; `None` where there is no file.
fn text_of(path: &Path) -> Result<Option<String>, DnsError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == ErrorKind::InvalidData => Err(DnsError::ZoneFile {
            path: path.display().to_string(),
            line: 1,
            what: "the file is no UTF-8: write other bytes as \\DDD".into(),
        }),
        Err(error) => Err(Failure::io(Exit::Unreadable, "read the zone file", path.display(), &error).into()),
    }
}

fn zone_of(path: &Path, text: Option<&str>, zone: &Name) -> Result<LiveZone, DnsError> {
    let place = || path.display().to_string();
    let Some(text) = text else {
        return Ok(LiveZone { missing: true, ..LiveZone::empty(zone.clone()) });
    };
    let live =
        parse(text, zone).map_err(|error| DnsError::ZoneFile { path: place(), line: error.line, what: error.what })?;
    if live.serial().is_none() {
        return Err(DnsError::NoSoa { path: place() });
    }
    Ok(live)
}

impl Provider for ZoneFiles {
    fn guard(&self) -> &'static str {
        "reread"
    }

    fn read(&self, zone: &Name) -> Result<LiveZone, DnsError> {
        let path = self.path(zone)?;
        zone_of(&path, text_of(&path)?.as_deref(), zone)
    }

    fn writer<'a>(&'a self, live: &LiveZone) -> Result<Box<dyn ZoneWriter + 'a>, DnsError> {
        let path = self.path(&live.name)?;
        let text = text_of(&path)?;
        let now = zone_of(&path, text.as_deref(), &live.name)?;
        if now != *live {
            return Err(DnsError::FileChanged { path: path.display().to_string() });
        }
        Ok(Box::new(FileWriter { path, text, zone: now }))
    }
}

struct FileWriter {
    path: PathBuf,
    text: Option<String>,
    zone: LiveZone,
}

impl ZoneWriter for FileWriter {
    fn write(&mut self, edits: &[Edit]) -> Result<(), DnsError> {
        let mut zone = self.zone.clone();
        for edit in edits {
            zone.replace(&edit.key, edit.after.as_ref());
        }
        if zone.missing {
            begin(&mut zone);
        } else {
            raise_serial(&mut zone);
        }
        zone.missing = false;
        if text_of(&self.path)? != self.text {
            return Err(DnsError::FileChanged { path: self.path.display().to_string() });
        }
        let text = write(&zone);
        write_atomically(&self.path, text.as_bytes(), 0o644)
            .map_err(|error| Failure::io(Exit::CannotCreate, "write the zone file", self.path.display(), &error))?;
        self.text = Some(text);
        self.zone = zone;
        Ok(())
    }
}

/// What a zone must have besides what is declared (RFC 1035 section 5.2): a SOA and a name server. `localhost.` stands in
/// where no name server is declared, as in the empty zones of BIND.
fn begin(zone: &mut LiveZone) {
    let servers = Key::new(zone.name.clone(), RecordType::NS);
    let primary = zone.sets.get(&servers).and_then(|set| set.values.first()?.value.target(RecordType::NS));
    let (Some(primary), Ok(mailbox)) =
        (primary.or_else(|| Name::absolute("localhost.").ok()), zone.name.child("hostmaster"))
    else {
        return;
    };
    if let (false, Ok(server)) = (zone.sets.contains_key(&servers), Rdata::bounded(primary.wire().to_vec())) {
        zone.replace(&servers, Some(&Rrset::new(DEFAULT_TTL, vec![server])));
    }
    let mut soa = [primary.wire(), mailbox.wire()].concat();
    for number in [1_u32, 7200, 900, 1_209_600, 300] {
        soa.extend(number.to_be_bytes());
    }
    if let Ok(value) = Rdata::bounded(soa) {
        let key = Key::new(zone.name.clone(), RecordType::SOA);
        zone.insert(key, DEFAULT_TTL, LiveValue { value, stored: None });
    }
}

/// Adds one to the serial (RFC 1982), leaving out 0, which some secondaries take for "unknown".
fn raise_serial(zone: &mut LiveZone) {
    let Some(serial) = zone.serial() else { return };
    let key = Key::new(zone.name.clone(), RecordType::SOA);
    let Some(set) = zone.sets.get_mut(&key) else { return };
    let Some(value) = set.values.first_mut() else { return };
    let mut soa = value.value.wire().to_vec();
    let at = soa.len() - 20;
    soa[at..at + 4].copy_from_slice(&serial.wrapping_add(1).max(1).to_be_bytes());
    if let Ok(raised) = Rdata::bounded(soa) {
        *value = LiveValue { value: raised, stored: None };
    }
}
