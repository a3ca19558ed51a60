//! libFuzzer's entry to the target `vote_and_index`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| timberline_fuzz::targets::vote_and_index(bytes));
