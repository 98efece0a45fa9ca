#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| secret_encrypt::fuzzing::document("yaml", bytes));
