//! libFuzzer's entry to the target `frame_header`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| timberline_fuzz::targets::frame_header(bytes));
