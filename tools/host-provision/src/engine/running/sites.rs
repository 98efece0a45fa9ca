//! What web servers answer for, read from the configurations of nginx, Caddy and Apache.

use std::collections::BTreeMap;

use contract::document::SiteFacts;

use super::{files_in, lines, without_secrets};
use crate::engine::host::Host;

/// The sites of every web server whose configuration lies where Debian puts it.
pub(super) fn of(host: &Host) -> Vec<SiteFacts> {
    let mut found = Vec::new();
    let mut files = vec!["/etc/nginx/nginx.conf".to_owned()];
    files.extend(
        ["/etc/nginx/conf.d", "/etc/nginx/sites-enabled"].iter().flat_map(|directory| files_in(host, directory)),
    );
    for file in files {
        found.extend(nginx_sites(&host.text(&file), &file));
    }
    found.extend(caddy_sites(&host.text("/etc/caddy/Caddyfile"), "/etc/caddy/Caddyfile"));
    for file in files_in(host, "/etc/apache2/sites-enabled") {
        found.extend(apache_sites(&host.text(&file), &file));
    }
    found
}

/// The words of a configuration in nginx' syntax, and the ends of directives and blocks.
fn nginx_words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (Some(end), _) if letter == end => quote = None,
            (Some(_), '\\') => word.extend(letters.next()),
            (Some(_), _) => word.push(letter),
            (None, '"' | '\'') => quote = Some(letter),
            (None, '#') if word.is_empty() => while letters.next_if(|letter| *letter != '\n').is_some() {},
            (None, ';' | '{' | '}') => {
                // `${name}` is part of a word.
                if letter == '{' && word.ends_with('$') {
                    word.push(letter);
                    while let Some(inner) = letters.next_if(|letter| *letter != '\n') {
                        word.push(inner);
                        if inner == '}' {
                            break;
                        }
                    }
                    continue;
                }
                words.extend((!word.is_empty()).then(|| std::mem::take(&mut word)));
                words.push(letter.to_string());
            }
            (None, _) if letter.is_whitespace() => words.extend((!word.is_empty()).then(|| std::mem::take(&mut word))),
            (None, _) => word.push(letter),
        }
    }
    words
}

/// The names of `server` blocks, each with its first upstream or root.
fn nginx_sites(text: &str, file: &str) -> Vec<SiteFacts> {
    let mut found: Vec<SiteFacts> = Vec::new();
    let mut upstreams: BTreeMap<String, String> = BTreeMap::new();
    let mut open: Vec<Vec<String>> = Vec::new();
    let mut directive: Vec<String> = Vec::new();
    let mut site: Option<SiteFacts> = None;
    for word in nginx_words(text) {
        match word.as_str() {
            "{" => {
                if directive.first().is_some_and(|word| word == "server") && site.is_none() {
                    site = Some(SiteFacts { server: "nginx".into(), file: file.into(), ..SiteFacts::default() });
                }
                open.push(std::mem::take(&mut directive));
            }
            "}" => {
                let closed = open.pop().unwrap_or_default();
                if closed.first().is_some_and(|word| word == "server") && closed.len() == 1 {
                    found.extend(site.take().filter(|site| !site.names.is_empty()));
                }
                directive.clear();
            }
            ";" => {
                let words: Vec<&str> = directive.iter().map(String::as_str).collect();
                match (words.as_slice(), &mut site) {
                    (["server_name", names @ ..], Some(site)) => {
                        site.names.extend(
                            names
                                .iter()
                                .filter(|name| **name != "_" && !name.is_empty())
                                .map(|name| (*name).to_owned()),
                        );
                    }
                    (["proxy_pass" | "fastcgi_pass" | "uwsgi_pass" | "grpc_pass", to], Some(site)) => {
                        site.upstream.get_or_insert_with(|| without_secrets(to));
                    }
                    (["root", root], Some(site)) => {
                        site.root.get_or_insert_with(|| (*root).to_owned());
                    }
                    (["server", to, ..], None) => {
                        if let Some([_, name]) = open.last().map(Vec::as_slice) {
                            upstreams.entry(name.clone()).or_insert_with(|| (*to).to_owned());
                        }
                    }
                    _ => {}
                }
                directive.clear();
            }
            _ => directive.push(word),
        }
    }
    // The name of a group of servers means nothing elsewhere.
    for site in &mut found {
        let group = site
            .upstream
            .as_deref()
            .and_then(|to| to.split_once("://"))
            .map(|(scheme, rest)| (scheme.to_owned(), rest.split('/').next().unwrap_or_default().to_owned()));
        if let Some((scheme, group)) = group
            && let Some(server) = upstreams.get(&group)
        {
            site.upstream = Some(format!("{scheme}://{server}"));
        }
    }
    found
}

/// Sites of a Caddyfile: what stands before a block at its outermost level.
fn caddy_sites(text: &str, file: &str) -> Vec<SiteFacts> {
    let mut found = Vec::new();
    let mut depth = 0_usize;
    let mut site = SiteFacts::default();
    for line in lines(text) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let opens = words.last() == Some(&"{");
        if depth == 0 && opens && words.len() > 1 && !words[0].starts_with('(') {
            let names = words[..words.len() - 1].iter().flat_map(|word| word.split(','));
            let names = names.map(|name| name.trim_start_matches("https://").trim_start_matches("http://"));
            let names: Vec<String> =
                names.filter(|name| !name.is_empty() && !name.starts_with(':')).map(str::to_owned).collect();
            site = SiteFacts { server: "caddy".into(), file: file.into(), names, ..SiteFacts::default() };
        }
        match words.as_slice() {
            ["reverse_proxy" | "php_fastcgi", rest @ ..] => {
                let to = rest.iter().find(|word| word.contains(':') && !word.starts_with(['/', '@', '*']));
                site.upstream = site.upstream.take().or_else(|| to.map(|to| without_secrets(to)));
            }
            ["root", rest @ ..] => site.root = site.root.take().or_else(|| rest.last().map(|root| (*root).to_owned())),
            ["}"] => {
                depth = depth.saturating_sub(1);
                if depth == 0 && !site.names.is_empty() {
                    found.push(std::mem::take(&mut site));
                }
            }
            _ => {}
        }
        if opens {
            depth += 1;
        }
    }
    found
}

fn apache_sites(text: &str, file: &str) -> Vec<SiteFacts> {
    let mut found = Vec::new();
    let mut site = SiteFacts::default();
    for line in lines(text) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [start, ..] if start.eq_ignore_ascii_case("<VirtualHost") => {
                site = SiteFacts { server: "apache".into(), file: file.into(), ..SiteFacts::default() };
            }
            [name, names @ ..]
                if name.eq_ignore_ascii_case("ServerName") || name.eq_ignore_ascii_case("ServerAlias") =>
            {
                site.names.extend(names.iter().map(|name| (*name).to_owned()));
            }
            [name, root] if name.eq_ignore_ascii_case("DocumentRoot") => {
                site.root = Some(root.trim_matches('"').to_owned());
            }
            [name, _, to, ..] if name.eq_ignore_ascii_case("ProxyPass") => site.upstream = Some(without_secrets(to)),
            [end] if end.eq_ignore_ascii_case("</VirtualHost>") && !site.names.is_empty() => {
                found.push(std::mem::take(&mut site));
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nginx_is_read_with_its_groups_and_quotes() {
        let text = "# server { server_name no.test; }\nhttp { upstream app { server 127.0.0.1:3000; server 127.0.0.1:3001; }\n\
            map $a $b { default x; }\n server { listen 80 default_server; server_name _; return 444; }\n\
            server { listen 443 ssl; server_name www.a.test \"a.test\"; location ~ ^/(x|y){1,2} { return 404; }\n location / { proxy_pass http://app/; } }\n\
            server { server_name files.test; root /srv/files; } }";
        let found = nginx_sites(text, "f");
        let brief: Vec<(String, Option<&str>, Option<&str>)> =
            found.iter().map(|site| (site.names.join(" "), site.upstream.as_deref(), site.root.as_deref())).collect();
        assert_eq!(
            brief,
            [
                ("www.a.test a.test".to_owned(), Some("http://127.0.0.1:3000"), None),
                ("files.test".to_owned(), None, Some("/srv/files"))
            ]
        );
        for odd in ["server {", "}}}}", "server_name x;", "server { server_name a; ", "'", "${"] {
            assert!(nginx_sites(odd, "f").is_empty(), "{odd}");
        }
    }

    #[test]
    fn caddy_and_apache_are_read() {
        let text = "{\n  email a@b.test\n}\n(common) {\n  encode gzip\n}\na.test, www.a.test {\n  import common\n  handle /api/* {\n    reverse_proxy 127.0.0.1:9000\n  }\n}\nhttp://b.test {\n  root * /srv/b\n  file_server\n}\n:80 {\n  abort\n}\n";
        let found = caddy_sites(text, "f");
        assert_eq!(found[0].names, ["a.test", "www.a.test"]);
        assert_eq!(found[0].upstream.as_deref(), Some("127.0.0.1:9000"));
        assert_eq!((found[1].names.as_slice(), found[1].root.as_deref()), (&["b.test".to_owned()][..], Some("/srv/b")));
        assert_eq!(found.len(), 2);
        let text = "<VirtualHost *:80>\n ServerName c.test\n ServerAlias www.c.test\n ProxyPass / http://u:geheim@127.0.0.1:81/\n</VirtualHost>\n";
        let found = apache_sites(text, "f");
        assert_eq!(found[0].names, ["c.test", "www.c.test"]);
        assert_eq!(found[0].upstream.as_deref(), Some("http://u:[left out]@127.0.0.1:81/"));
    }
}
