//! Text of the user inside of generated files: what is read as nginx' directives is written as text that is read alike, and no word
//! or value leaves its place.
#![no_main]

use cfg_render::format::{caddyfile, nginx};

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(directives) = nginx::read(text) {
        let written = nginx::write(&directives);
        assert_eq!(nginx::read(&written).as_ref(), Ok(&directives), "{written}");
    }
    if let Ok(literal) = nginx::literal(text) {
        let one = [nginx::Directive { name: "set".into(), args: vec![literal.to_owned()], body: None }];
        assert_eq!(nginx::read(&nginx::write(&one)).as_deref(), Ok(one.as_slice()));
    }
    if let Ok(word) = caddyfile::word(text) {
        assert!(!word.is_empty() && caddyfile::is_balanced(&word), "{word}");
    }
});
