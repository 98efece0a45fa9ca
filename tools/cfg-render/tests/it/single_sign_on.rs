//! Single sign-on: what a program is told, and what Authentik is told of it.

use serde_json::{Value, json};

use crate::run::{document, files, fleet as seed};
use crate::traefik::yaml;

fn manifest(fleet: &Value, host: &str) -> Value {
    document(&["secrets", "--host", host], fleet)
}

fn templates(fleet: &Value, host: &str) -> Vec<Value> {
    use base64::Engine as _;
    let desired = document(&["host", "--host", host], fleet);
    let mut found = desired["items"].as_array().unwrap().iter().filter_map(|item| item.get("file"));
    let manifest = found.find(|file| file["path"].as_str().unwrap().ends_with("/manifest.json")).unwrap();
    let bytes = base64::engine::general_purpose::STANDARD.decode(manifest["content_base64"].as_str().unwrap()).unwrap();
    serde_json::from_slice::<Value>(&bytes).unwrap()["templates"].as_array().unwrap().clone()
}

#[test]
fn grafana_and_outline_are_told_where_people_log_in() {
    let fleet = seed("seed-004.json");
    let all = files(&fleet, "management");
    let compose = &all.iter().find(|(path, _)| path == "/opt/grafana/compose.yaml").unwrap().1;
    for part in [
        "GF_AUTH_GENERIC_OAUTH_ENABLED: \"true\"",
        "GF_AUTH_GENERIC_OAUTH_AUTH_URL: \"https://gateway.example.org/application/o/authorize/\"",
        "GF_AUTH_GENERIC_OAUTH_CLIENT_ID: \"grafana\"",
    ] {
        assert!(compose.contains(part), "{part}\n{compose}");
    }
    let env = templates(&fleet, "management").into_iter().find(|template| template["name"] == "grafana.env").unwrap();
    assert!(
        env["text"].as_str().unwrap().contains("GF_AUTH_GENERIC_OAUTH_CLIENT_SECRET='@@secret:grafana-oidc-secret@@'")
    );
    let all = files(&fleet, "tools-prod");
    let compose = &all.iter().find(|(path, _)| path == "/opt/outline/compose.yaml").unwrap().1;
    assert!(compose.contains("OIDC_TOKEN_URI: \"https://gateway.example.org/application/o/token/\""), "{compose}");
}

#[test]
fn authentik_gets_a_blueprint_of_each_client_with_its_secret_filled_in_ram() {
    let fleet = seed("seed-004.json");
    let all = templates(&fleet, "authentik-prod");
    let template = all.iter().find(|template| template["name"] == "authentik-outline.yaml").unwrap();
    let Some(blueprint) = yaml(template["text"].as_str().unwrap()) else { return };
    let entries = blueprint["entries"].as_array().unwrap();
    let provider = entries.iter().find(|entry| entry["model"] == "authentik_providers_oauth2.oauth2provider").unwrap();
    assert_eq!(provider["attrs"]["client_secret"], "@@secret:outline-oidc-secret@@");
    assert_eq!(
        provider["attrs"]["redirect_uris"],
        json!([{"matching_mode": "strict", "url": "https://wiki.example.org/auth/oidc.callback"}])
    );
    assert_eq!(provider["attrs"]["authorization_flow"]["!Find"][0], "authentik_flows.flow");
    let application = entries.iter().find(|entry| entry["model"] == "authentik_core.application").unwrap();
    assert_eq!(application["attrs"]["provider"], json!({"!KeyOf": "provider"}));
    // Only who is in the group comes to Grafana.
    let grafana = all.iter().find(|template| template["name"] == "authentik-grafana.yaml").unwrap();
    let grafana = yaml(grafana["text"].as_str().unwrap()).unwrap();
    let binding = grafana["entries"]
        .as_array()
        .unwrap()
        .iter()
        .find(|entry| entry["model"] == "authentik_policies.policybinding")
        .unwrap();
    assert_eq!(binding["identifiers"]["group"]["!Find"], json!(["authentik_core.group", ["name", "admins"]]));
    // Its host holds the secrets of its clients, and its worker sees the files.
    let names: Vec<_> = manifest(&fleet, "authentik-prod")["secrets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|secret| secret["name"].as_str().unwrap().to_owned())
        .collect();
    assert!(
        names.contains(&"outline-oidc-secret".to_owned()) && names.contains(&"grafana-oidc-secret".to_owned()),
        "{names:?}"
    );
    let files = files(&fleet, "authentik-prod");
    let compose = &files.iter().find(|(path, _)| path == "/opt/authentik/compose.yaml").unwrap().1;
    assert_eq!(
        compose
            .matches("/run/secrets/rendered/authentik-outline.yaml:/blueprints/plumbline/authentik-outline.yaml:ro")
            .count(),
        2,
        "{compose}"
    );
}
