//! Every text and number comes back equal from Nix.

use cfg_render::format::nix::{self, Nix, Part};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::evaluate;

/// Every text comes back equal from Nix, whatever it holds.
fn come_back(texts: &[String]) {
    let store = tempfile::tempdir().unwrap();
    let mut list: Vec<Nix> = texts.iter().map(Nix::text).collect();
    // Before an expression a dollar sign or a quote means something else again.
    list.extend(texts.iter().map(|text| {
        Nix::Text(vec![Part::Plain(text.clone()), Part::Expression("\"|\"".into()), Part::Plain(text.clone())])
    }));
    list.extend(texts.iter().map(|text| Nix::set([(text.clone(), Nix::text(text))])));
    let written = nix::write(&Nix::List(list)).unwrap();
    let Some(found) = evaluate(store.path(), &written) else { return };
    let found = found.unwrap_or_else(|error| panic!("{error}\n{written}"));
    let mut expected: Vec<Value> = texts.iter().map(|text| json!(text)).collect();
    expected.extend(texts.iter().map(|text| json!(format!("{text}|{text}"))));
    expected.extend(texts.iter().map(|text| json!({text: text})));
    for (found, expected) in found.as_array().unwrap().iter().zip(&expected) {
        assert_eq!(found, expected);
    }
}

#[test]
fn hostile_texts_come_back() {
    let hard = [
        "",
        "$",
        "$$",
        "${",
        "$${",
        "$$${x}",
        "\\${x}",
        "''",
        "'''",
        "''${x}",
        "'",
        "\"",
        "\\",
        "\\n",
        "a\nb\n",
        "  a\n b\n",
        "a\n  b\n",
        "a''\n",
        "a'\n${x}\n",
        "\t\n",
        " \n",
        "\n",
        "a\n\n",
        "a\r\nb\n",
        "${builtins.readFile \"/etc/shadow\"}\n",
        "x'${y}\n",
        "$\n",
        "a$\n",
        "''\\n\n",
        "日本語\n",
        "\u{7f}",
        "# no comment\n",
        "if",
        "a-b",
        "1a",
        "or",
        "'' + builtins.abort \"x\" + ''\n",
        "a\u{1}\n",
        "$${a}\n",
        "''$\n",
        "'$\n",
    ];
    come_back(&hard.map(str::to_owned));
    assert!(nix::write(&Nix::text("a\0b")).is_err(), "no string of Nix holds NUL");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4, ..ProptestConfig::default() })]
    #[test]
    fn random_texts_come_back(texts in prop::collection::vec("([ \\\\$'\"{}\n\tab]|\\$\\{|'')*", 200)) {
        come_back(&texts);
    }
}

#[test]
fn numbers_come_back() {
    let store = tempfile::tempdir().unwrap();
    let value = json!([0, -1, 9_223_372_036_854_775_807_i64, -9_223_372_036_854_775_808_i64, 1.5, -0.25, 1e300, 1e-7, 100.0, {"a": -1, "b": [[-2]]}, null, true]);
    let written = nix::write(&Nix::from_json(&value).unwrap()).unwrap();
    let Some(found) = evaluate(store.path(), &written) else { return };
    // Nix prints a float without its point where nothing stands behind it.
    let found = found.unwrap();
    let numbers = |value: &Value| -> Vec<f64> { value.as_array().unwrap().iter().filter_map(Value::as_f64).collect() };
    assert_eq!(numbers(&found), numbers(&value));
    assert_eq!(found[9], value[9]);
    assert!(Nix::from_json(&json!(u64::MAX)).is_err());
}
