#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| secret_encrypt::fuzzing::enc_text(text));
