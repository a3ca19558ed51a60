//! libFuzzer's entry to the target `client_packet`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| timberline_fuzz::targets::client_packet(bytes));
