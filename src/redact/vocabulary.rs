//! Words that tell nothing of whose rules they stand in: those of the languages, and names that every node of a kind has.

use std::sync::LazyLock;

use hashbrown::HashSet;

/// Words of rules and listings, and names that everybody has.
static WORDS: LazyLock<HashSet<&'static str>> = LazyLock::new(|| words(include_str!("vocabulary.txt")));

/// Words of the comments that kube-proxy, the kubelet and others leave at their rules.
static COMMENTS: LazyLock<HashSet<&'static str>> = LazyLock::new(|| words(include_str!("comment_words.txt")));

/// How the names of well-known programs' chains, sets and interfaces begin, longer ones first. What follows is not known.
const STEMS: [&str; 67] = [
    "KUBE-POD-FW-",
    "KUBE-NWPLCY-",
    "KUBE-ROUTER-",
    "KUBE-HOSTPORTS",
    "CNI-HOSTPORT-",
    "KUBE-HP-",
    "KUBE-SRC-",
    "KUBE-DST-",
    "KUBE-IP-",
    "KUBE-",
    "OLD_CILIUM_",
    "CILIUM_",
    "cilium_",
    "cilium-",
    "OVN-KUBE-",
    "ovn-kube",
    "ovn-k8s-mp",
    "ANTREA-",
    "antrea-",
    "kube-router-",
    "kube-dummy-if",
    "kube-bridge",
    "bpfout.cali",
    "bpfin.cali",
    "cali-BPF",
    "cali-",
    "cali:",
    "cali40",
    "cali60",
    "cali",
    "FLANNEL-",
    "flannel.",
    "flannel",
    "WEAVE-",
    "weave",
    "AZURE-NPM-",
    "azure",
    "AWS-",
    "CNI-",
    "cni-",
    "cni",
    "DOCKER-",
    "DOCKER",
    "docker",
    "podman",
    "virbr",
    "LIBVIRT_",
    "ISTIO_",
    "ufw6-",
    "ufw-",
    "f2b-",
    "FWDI_",
    "IP-MASQ",
    "veth",
    "vxlan",
    "tunl",
    "lxc",
    "eni",
    "gke",
    "br-",
    "bond",
    "eth",
    "ens",
    "eno",
    "enp",
    "wg",
    "if",
];

/// The words of a file: blanks part them, a line that begins with a number sign and a blank is a remark.
fn words(text: &'static str) -> HashSet<&'static str> {
    text.lines().filter(|line| !line.starts_with("# ")).flat_map(str::split_ascii_whitespace).collect()
}

/// True for a word of rules or listings.
pub(super) fn is_known(word: &str) -> bool {
    WORDS.contains(word)
}

/// True for a word of comments.
pub(super) fn is_of_comments(word: &str) -> bool {
    COMMENTS.contains(word)
}

/// The well-known beginning of a name, and what follows it; `None` for a name that begins otherwise.
pub(super) fn stem(name: &str) -> Option<(&'static str, &str)> {
    STEMS.iter().find_map(|stem| Some((*stem, name.strip_prefix(stem)?)))
}

/// True for numbers as rules and listings write them: `80`, `0x4000`, `0.33333`, `v1.8.9`, `12M`, `2h59m55s120ms`, `-10`.
pub(super) fn is_number(word: &str) -> bool {
    if let Some(hex) = word.strip_prefix("0x") {
        return !hex.is_empty() && hex.bytes().all(|b| b.is_ascii_hexdigit());
    }
    if let Some(version) = word.strip_prefix('v') {
        let number = |part: &str| !part.is_empty() && part.len() < 4 && part.bytes().all(|b| b.is_ascii_digit());
        return version.split('.').count() == 3 && version.split('.').all(number);
    }
    let word = word.strip_prefix('-').unwrap_or(word);
    let mut parts = word.split(|c: char| c.is_ascii_digit()).filter(|part| !part.is_empty());
    let unit = |part: &str| ["ms", "s", "m", "h", "d", "w", "K", "M", "G", "T", "P"].contains(&part);
    let begins = word.bytes().next().is_some_and(|b| b.is_ascii_digit());
    begins && (word.bytes().filter(|b| *b == b'.').count() <= 1 && parts.all(|part| part == "." || unit(part)))
}

/// True for the address of a network card.
pub(super) fn is_mac(word: &str) -> bool {
    let pair = |part: &str| part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit());
    word.split(':').count() == 6 && word.split(':').all(pair)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_told_from_names() {
        for word in ["80", "0x4000", "0.33333333349", "v1.8.9", "12M", "2h59m55s120ms", "-10", "5d"] {
            assert!(is_number(word), "{word}");
        }
        for word in ["", "-", "10.0.0", "0x", "0xyz", "4web", "10.0.0.1", "v1.2", "12345x", "web4", "v10.2000.1"] {
            assert!(!is_number(word), "{word}");
        }
        assert!(is_mac("52:54:00:12:34:56") && !is_mac("08:52:28") && !is_mac("52:54:00:12:34:567"));
    }

    #[test]
    fn no_stem_hides_a_longer_one() {
        for (at, stem) in STEMS.iter().enumerate() {
            let hidden = STEMS[at + 1..].iter().find(|later| later.starts_with(stem));
            assert_eq!(hidden, None, "behind {stem}");
        }
    }
}
