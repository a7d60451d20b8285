//! Configuration files: no panic, and each mistake has its place.

#![no_main]

use bookend::config::Config;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    let Ok(text) = std::str::from_utf8(octets) else { return };
    if let Err(mistakes) = Config::parse(text, "fuzz.toml", &|_| Some("value".to_owned())) {
        assert!(!mistakes.is_empty());
        for mistake in mistakes {
            assert!(mistake.to_string().starts_with("fuzz.toml:"));
        }
    }
});
