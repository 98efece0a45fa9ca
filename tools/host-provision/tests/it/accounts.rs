//! Accounts that are made together are as if each had been made by useradd.

use serde_json::json;

use crate::desired;
use crate::lab::Lab;

#[test]
fn accounts_made_together_are_as_useradd_makes_them() {
    let Some(lab) = Lab::boot() else { return };
    let items = json!([
        {"id": "g", "group": {"name": "team", "system": true}},
        {"id": "u1", "user": {"name": "one", "system": true, "shell": "/usr/sbin/nologin"}},
        {"id": "u2", "user": {"name": "two", "system": true, "group": "team", "groups": ["games", "team"], "home": "/srv/two", "shell": "/bin/sh", "comment": "50 % of two"}},
        {"id": "u3", "user": {"name": "three", "system": true, "uid": 777, "group": "games"}},
        {"id": "u4", "user": {"name": "four"}},
        {"id": "u5", "user": {"name": "five", "system": true}},
        {"id": "u6", "user": {"name": "six", "system": true}},
        {"id": "d", "directory": {"path": "/srv/two", "owner": "two", "group": "team", "mode": "0750"}}
    ]);
    let result = lab.apply(&desired("lab1", &items)).expect(0).json();
    assert_eq!(result["summary"]["create"], 8, "{result}");
    assert_eq!(lab.apply(&desired("lab1", &items)).expect(0).json()["changed"], false);
    let one_by_one = |name: &str| lab.exec("journalctl -o cat -t useradd").contains(&format!("new user: name={name},"));
    assert!(!one_by_one("one") && !one_by_one("two") && !one_by_one("six"));
    assert!(one_by_one("three") && one_by_one("four"));
    assert_eq!(lab.exec("stat -c '%U %G %a' /srv/two"), "two team 750");
    // Beside one that useradd made: all but names and numbers is the same, and nobody can log in by a password.
    lab.exec("useradd --system --user-group --no-create-home --shell /usr/sbin/nologin like");
    let line = |name: &str| lab.exec(&format!("grep ^{name}: /etc/passwd | cut -d: -f2,5-"));
    for name in ["one", "five", "six"] {
        assert_eq!(line(name), line("like").replace("/like", &format!("/{name}")));
        assert_eq!(
            lab.exec(&format!("id -gn {name}; passwd -S {name} | cut -d' ' -f2; ls -d /home/{name}")),
            format!("{name}\nL")
        );
        let number: u32 = lab.exec(&format!("id -u {name}")).parse().unwrap();
        assert!((100..1000).contains(&number), "{number}");
    }
    assert_eq!(line("two"), "x:50 % of two:/srv/two:/bin/sh");
    assert_eq!(lab.exec("id -gn two; id -Gn two"), "team\nteam games");
    assert_eq!(lab.exec("id -u three; id -gn three; ls -d /home/four"), "777\ngames\n/home/four");
    assert_eq!(lab.exec("pwck -rq; grpck -r; echo $?").lines().last(), Some("0"));

    // Where others hooked into useradd, and where systemd-sysusers refuses, each is made by useradd.
    let pair = |first: &str, second: &str| {
        let mut all = items.as_array().unwrap().clone();
        for name in [first, second] {
            all.push(json!({"id": name, "user": {"name": name, "system": true}}));
        }
        desired("lab1", &json!(all))
    };
    lab.exec("mkdir -p /etc/shadow-maint/useradd-post.d");
    assert_eq!(lab.apply(&pair("seven", "eight")).expect(0).json()["summary"]["create"], 2);
    assert!(one_by_one("seven") && one_by_one("eight"));
    lab.exec("rm -r /etc/shadow-maint; printf '#!/bin/sh\\nexit 1\\n' >/usr/local/bin/systemd-sysusers; chmod 755 /usr/local/bin/systemd-sysusers");
    let mut more = pair("seven", "eight");
    more["items"].as_array_mut().unwrap().extend([
        json!({"id": "nine", "user": {"name": "nine", "system": true}}),
        json!({"id": "ten", "user": {"name": "ten", "system": true}}),
    ]);
    assert_eq!(lab.apply(&more).expect(0).json()["summary"]["create"], 2);
    assert!(one_by_one("nine") && one_by_one("ten"));
    // What cannot be made is said by the item that asks for it.
    let items = more["items"].as_array_mut().unwrap();
    items.push(json!({"id": "x1", "user": {"name": "eleven", "system": true}}));
    items.push(json!({"id": "x2", "user": {"name": "twelve", "system": true, "groups": ["nobodys"]}}));
    let failed = lab.apply(&more).expect(3);
    assert!(failed.stderr.contains("item x2") && failed.stderr.contains("nobodys"), "{}", failed.stderr);
    let kept = failed.json()["kept"].to_string();
    assert!(kept.contains("eleven") && lab.exec("id -un eleven") == "eleven", "{kept}");
}
