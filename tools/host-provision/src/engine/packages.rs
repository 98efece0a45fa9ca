//! The packages of a Debian host, from dpkg's own status file: no process is needed to know that nothing is to be done.

use std::collections::BTreeMap;

/// Installed packages and what they provide.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Packages {
    installed: BTreeMap<String, String>,
    provided: BTreeMap<String, String>,
    /// Packages whose installation did not end.
    pub broken: Vec<String>,
}

impl Packages {
    /// From the text of `/var/lib/dpkg/status` (deb-control(5) paragraphs).
    pub fn parse(text: &str) -> Self {
        let mut packages = Self::default();
        for paragraph in text.split("\n\n") {
            let (mut name, mut status, mut version, mut provides) = ("", "", "", "");
            for line in paragraph.lines() {
                match line.split_once(": ") {
                    Some(("Package", value)) => name = value,
                    Some(("Status", value)) => status = value,
                    Some(("Version", value)) => version = value,
                    Some(("Provides", value)) => provides = value,
                    _ => {}
                }
            }
            let state = status.rsplit(' ').next().unwrap_or_default();
            match state {
                "installed" => {
                    packages.installed.insert(name.into(), version.into());
                    for provided in provides.split(',') {
                        let provided = provided.trim().split([' ', '(']).next().unwrap_or_default();
                        packages.provided.insert(provided.into(), name.into());
                    }
                }
                "half-installed" | "half-configured" | "unpacked" | "triggers-awaited" | "triggers-pending" => {
                    packages.broken.push(name.into());
                }
                _ => {}
            }
        }
        packages
    }

    /// The version of an installed package.
    pub fn version(&self, name: &str) -> Option<&str> {
        self.installed.get(name).map(String::as_str)
    }

    /// Whether `name` or `name=version` is there. A name that another package provides is.
    pub fn satisfies(&self, wanted: &str) -> bool {
        match wanted.split_once('=') {
            Some((name, version)) => self.version(name) == Some(version),
            None => self.installed.contains_key(wanted) || self.provided.contains_key(wanted),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_status_file() {
        let packages = Packages::parse(
            "Package: a\nStatus: install ok installed\nVersion: 1.0-2\nProvides: mail, x (= 3)\n\nPackage: b\nStatus: deinstall ok config-files\nVersion: 2\n\nPackage: c\nStatus: install ok half-configured\nVersion: 3\n",
        );
        assert!(
            packages.satisfies("a")
                && packages.satisfies("a=1.0-2")
                && packages.satisfies("mail")
                && packages.satisfies("x")
        );
        assert!(!packages.satisfies("a=1") && !packages.satisfies("b") && !packages.satisfies("c"));
        assert_eq!(packages.broken, ["c"]);
    }
}
