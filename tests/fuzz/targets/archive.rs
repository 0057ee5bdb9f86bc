//! Feeds what the fuzzer makes up to `archive`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kube_ipt_fuzz::holds("archive", data));
