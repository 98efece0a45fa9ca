//! Units of users, which run only while their user's manager does.

use contract::Finding;

use super::context::{Context, place};
use crate::fleet::Run;

/// `missing-key`, `no-linger` of `run.systemd.user_unit`.
pub(crate) fn check(context: &Context<'_>, found: &mut Vec<Finding>) {
    for (name, service) in &context.fleet.services {
        let Run::Systemd(run) = &service.run else { continue };
        if !run.user_unit {
            continue;
        }
        let Some(user) = &service.user else {
            found.push(crate::host::user_units::no_user(name));
            continue;
        };
        for host_name in &service.host {
            let Some(host) = context.hosts().get(host_name) else { continue };
            let declared = host.users.get(user).filter(|user| !user.absent);
            let at = place([&"services", name, &"user"]);
            match declared {
                None => {
                    let message = format!("the user {user} whose unit {name} is is not declared on host {host_name}");
                    let fix = format!("add \"users\": {{\"{user}\": {{\"linger\": true}}}} to the host");
                    found.push(
                        Finding::error("unknown-ref", at, message).related(place([&"hosts", host_name])).fix(fix),
                    );
                }
                Some(declared) if !declared.linger => {
                    let message = format!("{name} runs only while {user} is logged in to host {host_name}");
                    let fix = format!("add \"linger\": true to users.{user}");
                    let related = place([&"hosts", host_name, &"users", user]);
                    found.push(Finding::error("no-linger", at, message).related(related).fix(fix));
                }
                Some(_) => {}
            }
        }
    }
}
