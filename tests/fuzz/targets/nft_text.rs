//! Feeds what the fuzzer makes up to `nft_text`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kube_ipt_fuzz::holds("nft_text", data));
