//! Texts of hosts and users that the engine reads: what sshd reads, accounts, packages. Parts are separated by NUL.
#![no_main]

use host_provision::engine::accounts::Accounts;
use host_provision::engine::packages::Packages;
use host_provision::sshd_settings::{SshdSettings, list_matches};
use serde_json::json;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let mut parts = text.split('\0');
    let (name, content) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let item = json!({"id": "x", "file": {"path": "/etc/ssh/sshd_config", "content": content}});
    let desired = serde_json::from_value(json!({"host": "h", "owner": "fleet", "items": [item]}));
    let settings = SshdSettings::declared(&desired.expect("a document of a host"));
    for keyword in ["port", "allowusers", "authorizedkeysfile"] {
        let _ = settings.of_user(name, keyword);
        for (words, _) in settings.all_of_user(name, keyword) {
            let _ = list_matches(words, name);
        }
    }
    let accounts = Accounts::parse(parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    for group in accounts.groups_of(name) {
        assert!(accounts.group(group).is_some(), "{group} is no group");
    }
    let packages = Packages::parse(parts.next().unwrap_or_default());
    let _ = (packages.version(name), packages.satisfies(name));
});
