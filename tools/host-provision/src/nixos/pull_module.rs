//! The timer of pull mode as NixOS has it: a module of the host's own configuration. Units that are put into
//! /etc/systemd/system by hand do not exist there, and those below /run are gone after a reboot.

use contract::document::Nixos;
use contract::{Duration, places};

/// The module of one host.
#[derive(Debug, Clone, Copy)]
pub struct PullModule<'a> {
    /// Whose document it applies.
    pub owner: &'a str,
    /// How often.
    pub every: Duration,
    /// Where programs and documents of pull mode lie on the host.
    pub place: &'a str,
}

/// The option that would switch the system to something else again, with a blank on both sides of `=` as `nixfmt` writes it.
const OWN_UPDATES: &str = "system.autoUpgrade.enable = true";

impl PullModule<'_> {
    /// The unit, without its suffix.
    fn unit(&self) -> String {
        format!("{}pull-{}", places::UNIT_PREFIX, self.owner)
    }

    /// What the configuration lacks, as far as its text is here to be looked at.
    pub fn missing_in(&self, nixos: &Nixos) -> Vec<String> {
        let mut warnings = Vec::new();
        let texts: Vec<&str> = nixos.files.values().filter_map(|file| file.content.as_deref()).collect();
        if texts.is_empty() {
            // A flake that the host fetches; whether the timer is there the host says when the document is applied.
            return warnings;
        }
        let unit = self.unit();
        if !texts.iter().any(|text| text.contains(&unit)) {
            warnings.push(format!(
                "no file of the configuration names {unit}: add the module that `host-provision pull --module` prints, and apply it first"
            ));
        } else if texts.iter().any(|text| text.contains(OWN_UPDATES)) {
            warnings.push(
                "the configuration switches NixOS' own updates on; the module switches them off, because both would switch the system back and forth".into(),
            );
        }
        warnings
    }

    /// The text of the module.
    pub fn text(&self) -> String {
        let Self { owner, every, place } = self;
        let seconds = every.as_secs();
        format!(
            r#"# Pull mode: this host brings itself to the document of {owner} every {every}. The programs and the document come by
# `host-provision pull DOCUMENT | host-provision apply`; until then the service does nothing.
{{ lib, pkgs, ... }}:
{{
  # What fetches a flake from git.
  environment.systemPackages = [ pkgs.gitMinimal ];
  # Two that switch the system would take back each other's work. Newer packages come with a newer flake.lock.
  system.autoUpgrade.enable = lib.mkForce false;
  systemd.services."{unit}" = {{
    description = "Bring this host to the document of {owner}";
    after = [ "network-online.target" ];
    wants = [ "network-online.target" ];
    # It is this service that switches the system: the switch must neither restart nor end it.
    restartIfChanged = false;
    unitConfig.X-StopOnRemoval = false;
    unitConfig.ConditionPathExists = "{place}/{owner}.json";
    environment.{variable} = "{place}/lib";
    serviceConfig.Type = "oneshot";
    serviceConfig.ExecStart = "{place}/lib/host-provision apply --target local --output json {place}/{owner}.json";
  }};
  systemd.timers."{unit}" = {{
    description = "Bring this host to the document of {owner} now and then";
    wantedBy = [ "timers.target" ];
    timerConfig = {{
      OnActiveSec = {seconds};
      OnUnitActiveSec = {seconds};
      RandomizedDelaySec = {delay};
    }};
  }};
}}
"#,
            unit = self.unit(),
            variable = places::LIB_VARIABLE,
            delay = seconds / 10,
        )
    }
}
