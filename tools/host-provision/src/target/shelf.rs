//! Where the programs lie that are shipped to hosts: `$PLUMBLINE_LIB/<arch>/<tool>`, then beside this very program.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use cli::Failure;
use contract::document::Arch;
use contract::{Exit, places};

/// Programs for hosts, read once.
#[derive(Debug, Clone, Default)]
pub struct Shelf(Arc<Mutex<BTreeMap<PathBuf, Program>>>);

/// A program and its hash.
#[derive(Debug, Clone)]
pub struct Program {
    /// Where it lies here.
    pub path: PathBuf,
    /// SHA-256 of its bytes in hexadecimal.
    pub sha256: String,
    /// Its bytes.
    pub bytes: Arc<[u8]>,
}

/// The processor of this machine.
pub fn own_arch() -> Option<Arch> {
    Arch::from_uname(std::env::consts::ARCH).or((std::env::consts::ARCH == "arm").then_some(Arch::Armv7))
}

impl Shelf {
    /// Reads a program on the side, while somebody waits for something else. Whether it is there is found out later.
    pub(super) fn warm(&self, tool: &'static str, arch: Arch) {
        let shelf = self.clone();
        if !shelf.lock().keys().any(|path| path.ends_with(tool)) {
            std::thread::spawn(move || drop(shelf.find(tool, arch)));
        }
    }

    /// The bytes of a program that was found before.
    pub(crate) fn found(&self, sha256: &str) -> Option<Arc<[u8]>> {
        self.lock().values().find(|program| program.sha256 == sha256).map(|program| program.bytes.clone())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<PathBuf, Program>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Finds a program for a processor.
    ///
    /// # Errors
    /// 69 where there is none, 65 for one that is no static program for that processor.
    pub fn find(&self, tool: &str, arch: Arch) -> Result<Program, Failure> {
        let library =
            std::env::var_os(places::LIB_VARIABLE).map(|library| PathBuf::from(library).join(arch.as_str()).join(tool));
        let beside = || {
            let own = std::env::current_exe().ok()?;
            (own_arch() == Some(arch) && cfg!(target_os = "linux")).then(|| own.with_file_name(tool))
        };
        let found = library.into_iter().chain(beside()).find(|path| path.is_file());
        let Some(path) = found else {
            return Err(Failure::new(
                Exit::Unavailable,
                "tool_missing",
                format!("there is no {tool} for {} to be sent to the host", arch.as_str()),
            )
            .hint(format!(
                "install Plumbline's programs for {} and set {}=DIR, so that it is found at DIR/{}/{tool}",
                arch.as_str(),
                places::LIB_VARIABLE,
                arch.as_str()
            )));
        };
        let mut known = self.lock();
        if let Some(program) = known.get(&path) {
            return Ok(program.clone());
        }
        let bytes = std::fs::read(&path)
            .map_err(|error| Failure::io(Exit::Unreadable, "read the tool", path.display(), &error))?;
        check(&bytes, arch, &path)?;
        let program = Program { path: path.clone(), sha256: crate::engine::sha256(&bytes), bytes: bytes.into() };
        known.insert(path, program.clone());
        Ok(program)
    }
}

/// A program for a host is an ELF file of its processor that needs no loader: the host may have another C library or none.
fn check(bytes: &[u8], arch: Arch, path: &Path) -> Result<(), Failure> {
    let refuse = |why: &str| {
        Err(Failure::new(Exit::Unavailable, "tool_unfit", format!("the program cannot be sent to a host: {why}"))
            .place(path.display().to_string())
            .hint("build it statically for Linux (musl), or run the host's own with --installed"))
    };
    let half = |at: usize| bytes.get(at..at + 2).map_or(0, |pair| u16::from_le_bytes([pair[0], pair[1]]));
    if !bytes.starts_with(b"\x7fELF") {
        return refuse("it is no Linux program");
    }
    let machine = match arch {
        Arch::X86_64 => 62,
        Arch::Aarch64 => 183,
        Arch::Armv7 => 40,
    };
    if half(18) != machine {
        return refuse("it is for another processor");
    }
    if has_interpreter(bytes) {
        return refuse("it is not static");
    }
    Ok(())
}

/// Whether a program header of type PT_INTERP is there (elf(5)).
fn has_interpreter(bytes: &[u8]) -> bool {
    let wide = bytes.get(4) == Some(&2);
    let number = |at: usize, length: usize| -> u64 {
        let slice = bytes.get(at..at + length).unwrap_or_default();
        slice.iter().rev().fold(0, |value, byte| (value << 8) | u64::from(*byte))
    };
    let (table, size, count) = if wide {
        (number(32, 8), number(54, 2), number(56, 2))
    } else {
        (number(28, 4), number(42, 2), number(44, 2))
    };
    (0..count).any(|index| number((table + index * size) as usize, 4) == 3)
}
