//! libFuzzer's entry to the target `segment`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| timberline_fuzz::targets::segment(bytes));
