//! What must hold of any input at all: one function for each language and for the whole way from texts to an answer. The
//! fuzz targets in tests/fuzz call them with what the fuzzer makes up, `tests/it/corpus.rs` with the inputs that are kept.

mod archive;
mod ipset;
mod ipvsadm;
mod nft_json;
mod nft_text;
mod objects;
mod parts;
mod pipeline;
mod redact;
mod rules;

/// Panics where something does not hold of an input.
type Holds = fn(&[u8]);

/// Every target by its name, which is also that of its corpus.
pub(crate) const TARGETS: [(&str, Holds); 11] = [
    ("archive", archive::holds),
    ("ipset", ipset::holds),
    ("ipvsadm", ipvsadm::holds),
    ("listing", rules::holds),
    ("nft_json", nft_json::holds),
    ("nft_text", nft_text::holds),
    ("objects_json", objects::json),
    ("objects_yaml", objects::yaml_too),
    ("pipeline", pipeline::holds),
    ("redact", redact::holds),
    ("rules", rules::holds),
];

/// Asserts that everything holds of `data` that the target called `name` asserts.
pub(crate) fn holds(name: &str, data: &[u8]) {
    let (_, holds) = TARGETS.iter().find(|(target, _)| *target == name).expect("a target");
    holds(data);
}
