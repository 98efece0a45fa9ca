//! Backup plans of hosts.

use super::{HostView, Model};
use crate::fleet::{BackupPlanSpec, Repository};

impl<'f> Model<'f> {
    /// The plan of a host and its name: the one named, else the only one. None where the host says that nothing is backed up.
    pub fn backup_plan(&self, host: &HostView) -> Option<(&'f str, &'f BackupPlanSpec)> {
        let spec = host.spec.backup.as_ref();
        if spec.is_some_and(|spec| spec.none.is_some()) {
            return None;
        }
        let plans = &self.fleet.backups.plans;
        let found = match spec.and_then(|spec| spec.plan.as_deref()) {
            Some(name) => plans.get_key_value(name),
            None => plans.iter().next().filter(|_| plans.len() == 1),
        };
        found.map(|(name, plan)| (name.as_str(), plan))
    }

    /// The repositories of a plan: those named, else all.
    pub fn repositories(&self, plan: &'f BackupPlanSpec) -> Vec<(&'f str, &'f Repository)> {
        let all = self.fleet.backups.repositories.iter();
        all.filter(|(name, _)| plan.repositories.is_empty() || plan.repositories.contains(name))
            .map(|(name, repository)| (name.as_str(), repository))
            .collect()
    }
}
