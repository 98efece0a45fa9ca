//! Alertmanager: whom alerts reach (prometheus.io/docs/alerting/latest/configuration).

use contract::document::{Handler, Stage, TemplateEscape};
use contract::{Finding, Pointer, placeholder, places};
use serde_json::{Map, Value, json};

use super::role::{Role, listen};
use crate::fleet::{Alertmanager, MailTls, Run};
use crate::format::yaml;
use crate::host::HostBuilder;
use crate::host::services::default_args;
use crate::model::Model;

const FILE: &str = "/etc/prometheus/alertmanager.yml";

pub(super) fn add(builder: &mut HostBuilder<'_, '_>) {
    let (model, host) = (builder.model, builder.host);
    let Some(spec) = &model.fleet.monitoring.alertmanager else { return };
    let Some(service) = model.service(&spec.service).filter(|service| service.host.iter().any(|own| *own == host.name))
    else {
        return;
    };
    let at = Pointer::root().join("monitoring").join("alertmanager");
    let from = [at.clone(), Model::service_at(&spec.service)];
    let Some(unit) = model.unit_of(&spec.service, service) else { return };
    let document = config(builder, spec, &at);
    let text = builder.header("#", &from) + &yaml::write(&document);
    builder.directory(Stage::Services, "/etc/prometheus", 0o755, "root", "root", &from);
    if spec.webhook.is_some() {
        // The address of a webhook is a secret: the whole file is filled on the host.
        let owner = if matches!(service.run, Run::Package(_)) { "prometheus" } else { "nobody" };
        let template = builder.template("alertmanager.yml".into(), text, TemplateEscape::Json);
        template.owner = owner.into();
        template.link = Some(FILE.into());
        template.units = vec![unit.clone()];
        builder.wait_for_secrets(Stage::Services, &unit, &from);
    } else {
        let mut file = builder.file(Stage::Services, FILE, text, &from).notify(Handler::restart(&unit));
        if matches!(service.run, Run::Package(_)) {
            builder.check_set("alertmanager", &[&["/usr/bin/amtool", "check-config", FILE]]);
            file = file.set("alertmanager");
        }
        file.add(builder);
    }
    if let Run::Package(run) = &service.run {
        builder.hold(Stage::Services, &unit);
        let (address, port) = listen(model, host, service, Role::Alertmanager);
        let mut arguments =
            vec![format!("--web.listen-address={address}:{port}"), "--cluster.listen-address=".to_owned()];
        arguments.extend(run.arguments.iter().cloned());
        if let Some(args) = builder.fit(default_args(&arguments), &from[1]) {
            let text = builder.header("#", &from) + &args;
            builder
                .file(Stage::Services, "/etc/default/prometheus-alertmanager", text, &from)
                .notify(Handler::restart(&unit))
                .add(builder);
        }
    }
}

/// Its configuration; with a webhook it holds the placeholder of a secret.
pub(crate) fn config(builder: &mut HostBuilder<'_, '_>, spec: &Alertmanager, at: &Pointer) -> Value {
    let fleet = builder.model.fleet;
    let mut global = Map::new();
    let mut receiver = Map::new();
    receiver.insert("name".into(), json!("people"));
    let mail: Vec<&str> = fleet
        .people
        .iter()
        .filter(|(name, person)| {
            spec.people.contains(name) || person.groups.iter().any(|group| spec.groups.contains(group))
        })
        .filter_map(|(_, person)| person.emails.first().map(String::as_str))
        .collect();
    if let Some(mailer) = spec.mailer.as_ref().and_then(|name| fleet.mailers.get(name)) {
        global.insert("smtp_smarthost".into(), json!(format!("{}:{}", mailer.host, mailer.port)));
        global.insert("smtp_from".into(), json!(mailer.from));
        global.insert("smtp_require_tls".into(), json!(mailer.tls == MailTls::Starttls));
        if let Some(user) = &mailer.user {
            global.insert("smtp_auth_username".into(), json!(user));
        }
        if let Some(password) = &mailer.password {
            global.insert("smtp_auth_password_file".into(), json!(format!("{}/{}", places::SECRETS, password.secret)));
        }
        let configs: Vec<_> = mail.iter().map(|to| json!({"to": to, "send_resolved": true})).collect();
        if configs.is_empty() {
            let message = "nobody gets mail: neither people nor groups with an address are named";
            let finding = Finding::warning("alerts-reach-nobody", at.clone(), message);
            builder.findings.push(finding.fix("add \"people\" or \"groups\" to monitoring.alertmanager"));
        } else {
            receiver.insert("email_configs".into(), json!(configs));
        }
    }
    if let Some(webhook) = &spec.webhook {
        let url = placeholder(&webhook.secret);
        receiver.insert("webhook_configs".into(), json!([{"url": url, "send_resolved": true}]));
    }
    let mut document = json!({
        "route": {
            "receiver": "people",
            "group_by": ["alertname", "host"],
            "group_wait": "30s",
            "group_interval": "5m",
            "repeat_interval": format!("{}s", spec.repeat.as_secs())
        },
        // Where something is down, what follows from it is no news.
        "inhibit_rules": [{
            "source_matchers": ["severity = critical"],
            "target_matchers": ["severity = warning"],
            "equal": ["host"]
        }],
        "receivers": [receiver]
    });
    if let (Value::Object(document), false) = (&mut document, global.is_empty()) {
        document.insert("global".into(), Value::Object(global));
    }
    document
}
