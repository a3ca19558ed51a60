//! libFuzzer's entry to the target `segment_head`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| timberline_fuzz::targets::segment_head(bytes));
