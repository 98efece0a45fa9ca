//! Keys of people.

use super::Model;
use crate::fleet::SshKey;

impl Model<'_> {
    /// SSH keys of people by name, and of those in groups.
    pub fn keys_of_people(&self, people: &[String], groups: &[String]) -> Vec<SshKey> {
        self.fleet
            .people
            .iter()
            .filter(|(name, person)| people.contains(name) || person.groups.iter().any(|group| groups.contains(group)))
            .flat_map(|(_, person)| person.ssh_keys.iter().cloned())
            .collect()
    }
}
