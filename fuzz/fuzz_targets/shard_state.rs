//! libFuzzer's entry to the target `shard_state`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| timberline_fuzz::targets::shard_state(bytes));
