//! Feeds what the fuzzer makes up to `objects_yaml`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kube_ipt_fuzz::holds("objects_yaml", data));
