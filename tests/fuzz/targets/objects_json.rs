//! Feeds what the fuzzer makes up to `objects_json`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kube_ipt_fuzz::holds("objects_json", data));
