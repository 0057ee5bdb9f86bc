//! Feeds what the fuzzer makes up to `ipset`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kube_ipt_fuzz::holds("ipset", data));
