//! A redacted node gives the answers of the recorded one, and nothing in it is called what it was called.

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use kube_ipt::cluster::{Facts, PodRef, emit};
use kube_ipt::dataplane::ServiceName;
use kube_ipt::net::{Host, Network, split_host_port};
use kube_ipt::redact::{Counts, Language, Redactor};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::cases::{all_in, cases, gunzip};
use crate::expect::{facts, objects_of};
use crate::run::{kube_ipt, nodes};

const KEY: [u8; 32] = [7; 32];

/// Texts of a recording in iptables mode that are read together.
const OF_IPTABLES: [&[&str]; 7] = [
    &["save.txt", "save6.txt"],
    &["nat-S.txt", "nat6-S.txt"],
    &["save-c.txt"],
    &["save-nat.txt"],
    &["nat-S-grep-KUBE.txt"],
    &["nat-L-n-line-numbers.txt"],
    &["nat-L-n-v.txt"],
];

const OF_NFTABLES: [&[&str]; 4] = [&["ruleset.nft"], &["table-ip.nft"], &["ruleset.json"], &["table-ip.json"]];

const OF_IPVS: [&[&str]; 3] = [
    &["ipvsadm-S-n.txt", "ipset-save.txt", "save.txt", "ip-addr-show.txt", "proxyMode.txt"],
    &["ipvsadm-L-n.txt", "ip-addr-show-kube-ipvs0.txt", "save.txt"],
    &["ipvsadm-L-n-stats.txt", "ipset-save.txt", "nat-S.txt"],
];

fn language(file: &str) -> Language {
    match file {
        _ if file.starts_with("ipvsadm") => Language::Ipvsadm,
        _ if file.starts_with("ipset") => Language::Ipset,
        _ if file.starts_with("ip-addr") => Language::Addresses,
        _ if file.starts_with("proxyMode") => Language::ProxyMode,
        _ if file.starts_with("ruleset") || file.starts_with("table") => Language::Nft,
        _ => Language::Iptables,
    }
}

/// A recording in one form: its texts and its cluster.
struct Recording {
    folder: PathBuf,
    node: String,
    texts: Vec<(&'static str, String)>,
    facts: Facts,
    objects: PathBuf,
}

impl Recording {
    fn of(case: &Path, files: &[&'static str]) -> Option<Self> {
        let read = |file: &&'static str| Some((*file, fs::read_to_string(case.join(file)).ok()?));
        let texts: Vec<_> = files.iter().filter_map(read).collect();
        let about = fs::read_to_string(case.join("expected.json")).expect("readable");
        let about: Value = serde_json::from_str(&about).expect("JSON");
        let objects = objects_of(case);
        (!texts.is_empty()).then(|| Self {
            folder: case.to_owned(),
            node: about["node"].as_str().unwrap_or("node2").to_owned(),
            texts,
            facts: facts(&objects),
            objects,
        })
    }

    fn redactor(&self, key: [u8; 32]) -> Redactor {
        let mut redactor = Redactor::new(key);
        redactor.learn(&self.facts);
        for (file, text) in &self.texts {
            redactor.learn_text(text, language(file));
        }
        redactor
    }

    fn redacted(&self, redactor: &Redactor) -> Vec<(&'static str, String, Counts)> {
        let text = |(file, text): &(&'static str, String)| {
            let (text, counts) = redactor.text(text, language(file)).expect("it can be redacted");
            (*file, text, counts)
        };
        self.texts.iter().map(text).collect()
    }

    /// What the program answers to the recorded files.
    fn answer(&self, command: &str) -> Value {
        let files: Vec<PathBuf> = self.texts.iter().map(|(file, _)| self.folder.join(file)).collect();
        answer(command, &files, &self.objects, &self.node)
    }
}

fn answer(command: &str, files: &[PathBuf], objects: &Path, node: &str) -> Value {
    let run = kube_ipt(command).arg("-o").arg("json").arg("--objects").arg(objects).arg("--node").arg(node);
    let (stdout, stderr, status) = files.iter().fold(run, |run, file| run.arg("-f").arg(file)).output();
    assert!(matches!(status, Some(0 | 1)), "{files:?}: {stderr}");
    serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{files:?}: {error}: {stderr}"))
}

/// An answer of the recorded node in the words of the redacted one. Prose and the names of files are left out.
struct Translation<'r>(&'r Redactor);

impl Translation<'_> {
    fn value(&self, key: &str, value: &Value) -> Value {
        match value {
            Value::Object(fields) => {
                let own = |(key, value): (&String, &Value)| (key.clone(), self.value(key, value));
                let service = fields.get("service").and_then(Value::as_str).and_then(ServiceName::parse);
                let mut new: Map<String, Value> = fields.iter().filter(|(key, _)| is_compared(key)).map(own).collect();
                if let (Some(name), true) = (service, fields.contains_key("namespace")) {
                    let name = self.0.service(&name);
                    new.insert("namespace".to_owned(), json!(name.namespace));
                    new.insert("name".to_owned(), json!(name.service));
                    new.insert("port_name".to_owned(), json!(name.port));
                }
                if fields.get("type") == Some(&json!("object")) {
                    new.remove("name");
                }
                Value::Object(new)
            }
            Value::Array(items) => sorted(items.iter().map(|item| self.value(key, item)).collect()),
            Value::String(text) => json!(self.text(key, text)),
            other => other.clone(),
        }
    }

    fn text(&self, key: &str, text: &str) -> String {
        let socket = || {
            let (ip, port) = split_host_port(text)?;
            let ip = Host(self.0.address(ip));
            Some(port.map_or_else(|| ip.to_string().replace(['[', ']'], ""), |port| format!("{ip}:{port}")))
        };
        match key {
            "service" => ServiceName::parse(text).map_or(text.to_owned(), |name| self.0.service(&name).to_string()),
            "address" | "frontend" | "clients" => socket().unwrap_or_else(|| text.to_owned()),
            "sources" => Network::parse(text).map_or(text.to_owned(), |network| self.0.network(&network).to_string()),
            "node" => self.0.host(text),
            "pod" => text.split_once('/').map_or(text.to_owned(), |(namespace, name)| {
                self.0.pod(&PodRef::new(namespace, name)).as_str().to_owned()
            }),
            "chain" => {
                let line = format!("-A {text}");
                let (line, _) = self.0.text(&line, Language::Iptables).expect("a chain");
                line.trim_start_matches("-A ").to_owned()
            }
            _ => text.to_owned(),
        }
    }
}

/// False for prose, and for what names files and objects.
fn is_compared(key: &str) -> bool {
    !["message", "hint", "from", "text", "cause", "objects", "generated", "value", "field"].contains(&key)
}

/// The same without what a translation leaves out, its lists in the order of one.
fn plain(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let own = |(key, value): (&String, &Value)| (key.clone(), plain(value));
            let mut new: Map<String, Value> = fields.iter().filter(|(key, _)| is_compared(key)).map(own).collect();
            if new.get("type") == Some(&json!("object")) {
                new.remove("name");
            }
            Value::Object(new)
        }
        Value::Array(items) => sorted(items.iter().map(plain).collect()),
        other => other.clone(),
    }
}

fn sorted(mut items: Vec<Value>) -> Value {
    items.sort_by_cached_key(ToString::to_string);
    Value::Array(items)
}

/// The first difference, for a message that can be read.
fn difference(one: &Value, other: &Value, at: &str) -> Option<String> {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            let keys: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
            let none = Value::Null;
            keys.into_iter().find_map(|key| {
                difference(one.get(key).unwrap_or(&none), other.get(key).unwrap_or(&none), &format!("{at}.{key}"))
            })
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => one
            .iter()
            .zip(other)
            .enumerate()
            .find_map(|(n, (one, other))| difference(one, other, &format!("{at}[{n}]"))),
        (Value::Array(one), Value::Array(other)) => {
            let only = |these: &[Value], those: &[Value]| these.iter().find(|item| !those.contains(item)).cloned();
            let sizes = (one.len(), other.len());
            Some(format!("{at}: {sizes:?}: expected {:#?}, got {:#?}", only(one, other), only(other, one)))
        }
        _ => (one != other).then(|| format!("{at}: expected {one}, got {other}")),
    }
}

/// Every form of every recording of a mode.
fn every(cases: &[PathBuf], forms: &[&[&'static str]], test: impl Fn(&Recording)) {
    let mut tried = 0;
    for case in cases {
        for files in forms {
            if let Some(recording) = Recording::of(case, files) {
                test(&recording);
                tried += 1;
            }
        }
    }
    assert!(tried >= 2 * forms.len(), "only {tried} recordings");
}

fn answers_stay(recording: &Recording) {
    let redactor = recording.redactor(KEY);
    let room = tempfile::tempdir().expect("a folder");
    let mut files = Vec::new();
    for (file, text, counts) in recording.redacted(&redactor) {
        assert_eq!((counts.left_out, counts.widened), (0, 0), "{} {file}", recording.folder.display());
        let path = room.path().join(file);
        fs::write(&path, text).expect("writable");
        files.push(path);
    }
    let objects = room.path().join("objects.json");
    fs::write(&objects, emit(&redactor.facts(&recording.facts))).expect("writable");
    let translation = Translation(&redactor);
    for command in ["show", "check"] {
        let expected = translation.value("", &recording.answer(command));
        let answered = plain(&answer(command, &files, &objects, &redactor.host(&recording.node)));
        let difference = difference(&expected, &answered, command);
        assert_eq!(difference, None, "{} {files:?}", recording.folder.display());
    }
}

#[test]
fn nodes_in_iptables_mode_answer_as_recorded() {
    every(&cases(), &OF_IPTABLES, answers_stay);
}

#[test]
fn nodes_in_nftables_mode_answer_as_recorded() {
    every(&all_in(&nodes().join("nftables")), &OF_NFTABLES, answers_stay);
}

#[test]
fn nodes_in_ipvs_mode_answer_as_recorded() {
    every(&all_in(&nodes().join("ipvs")), &OF_IPVS, answers_stay);
}

/// Every name of a cluster but those that are kept.
fn names(facts: &Facts) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for service in &facts.services {
        names.extend([service.namespace.clone(), service.name.clone()]);
        names.extend(service.ports.iter().filter_map(|port| port.name.clone()));
        names.extend(service.external_name.clone().into_iter().chain(service.proxy_name.clone()));
    }
    for slice in &facts.slices {
        names.insert(slice.name.clone());
        names.extend(slice.endpoints.iter().filter_map(|e| e.pod.as_ref()).map(|pod| pod.name().to_owned()));
        names.extend(slice.endpoints.iter().flat_map(|e| e.for_zones().iter().chain(e.for_nodes())).cloned());
    }
    names.extend(facts.pods.iter().map(|pod| pod.pod.name().to_owned()));
    names.extend(facts.nodes.iter().flat_map(|node| node.names.iter().chain([&node.name]).chain(&node.zone)).cloned());
    names.retain(|name| !["default", "kube-system", "kubernetes"].contains(&name.as_str()));
    names
}

/// The addresses in a text, but for those that stay.
fn addresses(text: &str, redactor: &Redactor) -> BTreeSet<IpAddr> {
    let words = text.split(|c: char| !c.is_ascii_hexdigit() && !matches!(c, '.' | ':'));
    let sockets = words.clone().filter_map(split_host_port).map(|(ip, _)| ip);
    let inner = words.flat_map(|word| [word.trim_end_matches(':'), word.trim_start_matches(':')]);
    let all = inner.filter_map(|word| word.parse().ok()).chain(sockets);
    all.filter(|ip| redactor.address(*ip) != *ip).collect()
}

/// The words of a text, and what is between the separators in them.
fn words(text: &str) -> BTreeSet<&str> {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    text.split(|c: char| !is_of_name(c)).flat_map(|word| [word].into_iter().chain(word.split('.'))).collect()
}

fn nothing_is_left(recording: &Recording) {
    let redactor = recording.redactor(KEY);
    let mut texts: Vec<String> = recording.redacted(&redactor).into_iter().map(|(_, text, _)| text).collect();
    texts.push(emit(&redactor.facts(&recording.facts)));
    let names = names(&recording.facts);
    assert!(names.len() > 10);
    let mut before = addresses(&emit(&recording.facts), &redactor);
    for (_, text) in &recording.texts {
        before.extend(addresses(text, &redactor));
    }
    // A network may be one that stays, of which only the length tells: 10.0.0.0/8.
    before.retain(|ip| !["10.0.0.0", "172.16.0.0", "192.168.0.0"].iter().any(|known| ip.to_string() == *known));
    for text in &texts {
        let words = words(text);
        let left: Vec<&String> = names.iter().filter(|name| words.contains(name.as_str())).collect();
        // A Service is called like a word of the language.
        let left: Vec<&&String> = left.iter().filter(|name| name.as_str() != "sctp").collect();
        assert!(left.is_empty(), "{}: {left:?}", recording.folder.display());
        let left: Vec<IpAddr> = addresses(text, &redactor).intersection(&before).copied().collect();
        assert!(left.is_empty(), "{}: {left:?}", recording.folder.display());
        for secret in ["52:54:00:12:34:56", "5054:ff:fe12:3456"] {
            assert!(!text.contains(secret), "{secret}");
        }
    }
}

#[test]
fn no_name_and_no_address_of_a_recording_is_left() {
    // All forms at once: they are learnt and rewritten as those of one node.
    every(&cases(), &[&OF_IPTABLES.concat()], nothing_is_left);
    every(&all_in(&nodes().join("nftables")), &[&OF_NFTABLES.concat()], nothing_is_left);
    every(&all_in(&nodes().join("ipvs")), &[&OF_IPVS.concat()], nothing_is_left);
}

#[test]
fn the_key_decides() {
    let recording = Recording::of(&nodes().join("kitchen-sink/node2"), OF_IPTABLES[0]).expect("the recording");
    let with = |key: [u8; 32]| {
        let redactor = recording.redactor(key);
        let texts: Vec<String> = recording.redacted(&redactor).into_iter().map(|(_, text, _)| text).collect();
        (texts, emit(&redactor.facts(&recording.facts)))
    };
    let (one, other) = (with(KEY), with([8; 32]));
    assert_eq!(one, with(KEY));
    assert_ne!(one.0, other.0);
    assert_ne!(one.1, other.1);
}

#[test]
fn a_node_above_the_limit_where_comments_disappear_answers_as_recorded() {
    let (case, objects) = (nodes().join("large"), nodes().join("large/cluster.json.gz"));
    let facts = facts(&objects);
    let text = gunzip(&case.join("nat-S.txt.gz"));
    let mut redactor = Redactor::new(KEY);
    redactor.learn_text(&text, Language::Iptables);
    // The rules alone tell what each chain serves.
    let (redacted, counts) = redactor.text(&text, Language::Iptables).expect("rules");
    let unknown: Vec<&str> = redacted.lines().filter(|line| line.contains("x-")).take(3).collect();
    assert_eq!((counts.left_out, counts.unknown_words, unknown), (0, 0, vec![]));
    let room = tempfile::tempdir().expect("a folder");
    let (before, after) = (room.path().join("before"), room.path().join("after"));
    fs::write(&before, &text).expect("writable");
    fs::write(&after, redacted).expect("writable");
    redactor.learn(&facts);
    let list = room.path().join("objects.json");
    fs::write(&list, emit(&redactor.facts(&facts))).expect("writable");
    let node = facts.nodes.first().map_or("node1", |node| &node.name);
    let expected = Translation(&redactor).value("", &answer("check", &[before], &objects, node));
    let answered = plain(&answer("check", &[after], &list, &redactor.host(node)));
    assert_eq!(difference(&expected, &answered, "check"), None);
}

fn redacted(text: &str, language: Language) -> (String, Counts) {
    let mut redactor = Redactor::new(KEY);
    redactor.learn_text(text, language);
    redactor.text(text, language).expect("it can be redacted")
}

#[test]
fn what_people_and_other_programs_wrote_gets_pseudonyms() {
    let text = "*nat\n:PREROUTING ACCEPT [12:345]\n:payroll-in - [0:0]\n:cali-tw-payroll - [0:0]\n\
        -A PREROUTING -i payroll0 -m comment --comment \"ticket 4711 of alice\" -j payroll-in\n\
        -A payroll-in -m set --match-set payroll src -m string --string \"s3cret\" --algo bm -j LOG --log-prefix \"4711 payroll: \"\n\
        -A payroll-in -m geoip --source-country 4711 -m comment --comment payroll -j cali-tw-payroll\n\
        -A payroll-in -m mac --mac-source 52:54:00:12:34:56 -j NFLOG --nflog-prefix 4711\n\
        -A cali-tw-payroll -i cali4711payroll -m iprange --src-range 10.1.0.0-10.1.0.255 -j ACCEPT\n\
        payroll 4711 says hello\n\
        # payroll 4711\n\
        COMMIT\n";
    let (new, counts) = redacted(text, Language::Iptables);
    assert!(
        !new.contains("payroll") && !new.contains("4711") && !new.contains("s3cret") && !new.contains("alice"),
        "{new}"
    );
    assert!(!new.contains("52:54"), "{new}");
    assert_eq!((counts.lines, counts.left_out, counts.widened), (12, 2, 0));
    let lines: Vec<&str> = new.lines().collect();
    assert_eq!(
        (lines[0], lines[1], lines[9], lines[10], lines[11]),
        ("*nat", ":PREROUTING ACCEPT [12:345]", "", "", "COMMIT")
    );
    // The same name is the same pseudonym wherever it stands.
    let chain = lines[2].trim_start_matches(':').split(' ').next().expect("a chain");
    assert!(chain.starts_with("x-") && new.matches(chain).count() == 5, "{new}");
    assert!(lines[3].starts_with(":cali-") && lines[8].contains(" -i cali"), "{new}");
}

#[test]
fn addresses_that_are_written_as_numbers_do_not_pass() {
    let rules = "-A INPUT -m u32 --u32 \"0xc=0xa0b0c0d\" -j DROP\n-A INPUT -m bpf --bytecode \"1,21 0 1 168496141\" -j DROP\n\
        Chain INPUT (policy ACCEPT)\nDROP       all  --  0.0.0.0/0            0.0.0.0/0            u32 \"0xc=0xa0b0c0d\"\n";
    let listing =
        "table ip t {\n\tchain c {\n\t\t@nh,96,32 0xa0b0c0d @th,16,16 80 drop\n\t\t@nh,96,32 168496141 drop\n\t}\n}\n";
    for (text, language) in [(rules, Language::Iptables), (listing, Language::Nft)] {
        let (new, counts) = redacted(text, language);
        assert!(!new.contains("a0b0c0d") && !new.contains("168496141") && counts.left_out == 0, "{new}");
    }
}

#[test]
fn names_of_chains_stay_wrong_where_they_were() {
    let text = "-A KUBE-SERVICES -d 10.96.0.1/32 -p tcp -m comment --comment \"a/b cluster IP\" -m tcp --dport 80 -j KUBE-SVC-ABCDEFGHIJKLMNOP\n\
        -A KUBE-SVC-ABCDEFGHIJKLMNOP -m comment --comment \"a/b -> 10.0.0.1:80\" -j KUBE-SEP-ABCDEFGHIJKLMNOP\n\
        -A KUBE-SEP-ABCDEFGHIJKLMNOP -p tcp -m comment --comment a/b -m tcp -j DNAT --to-destination 10.0.0.1:80\n";
    let (new, _) = redacted(text, Language::Iptables);
    let mismatches = |text: &str| {
        let (stdout, ..) = kube_ipt("check --no-api -o json --select KI306").stdin(text).output();
        let document: Value = serde_json::from_str(&stdout).expect("JSON");
        document["findings"].as_array().expect("findings").len()
    };
    assert_eq!((mismatches(text), mismatches(&new)), (2, 2), "{new}");
    // What nobody names is not told by a dictionary of names: another key gives another hash.
    let orphan = "-N KUBE-SVC-NPX46M4PTMTKRN6Y\n";
    let other = Redactor::new([9; 32]).text(orphan, Language::Iptables).expect("rules").0;
    assert_ne!(redacted(orphan, Language::Iptables).0, other);
    assert!(other.starts_with("-N KUBE-SVC-") && other.len() == orphan.len() && other != orphan);
}

#[test]
fn the_port_that_an_old_iptables_could_not_print_is_found_again() {
    // kubernetes/kubernetes#114537: only the name of the chain tells the port.
    let text = "-A KUBE-SERVICES -d 10.96.0.1/32 -p tcp -m comment --comment \"default/kubernetes:https cluster IP\" -m tcp --dport 443 -j KUBE-SVC-NPX46M4PTMTKRN6Y\n\
        -A KUBE-SVC-NPX46M4PTMTKRN6Y -m comment --comment \"default/kubernetes:https\" -j KUBE-SEP-QAX236RR3UXXQODE\n\
        -A KUBE-SEP-QAX236RR3UXXQODE -s 10.128.0.183/32 -m comment --comment \"default/kubernetes:https\" -j KUBE-MARK-MASQ\n\
        -A KUBE-SEP-QAX236RR3UXXQODE -p tcp -m comment --comment \"default/kubernetes:https\" -m tcp -j DNAT [unsupported revision]\n";
    let (new, counts) = redacted(text, Language::Iptables);
    assert_eq!((counts.left_out, counts.unknown_words), (0, 0), "{new}");
    let (stdout, ..) = kube_ipt("show --no-api").stdin(&new).output();
    assert!(stdout.contains(":6443"), "{stdout}\n{new}");
}

#[test]
fn ranges_that_are_no_network_are_widened_and_counted() {
    let range = |text: &str| {
        let line = format!("-A INPUT -m iprange --src-range {text} -j ACCEPT\n");
        let (new, counts) = redacted(&line, Language::Iptables);
        let range = new.split(' ').nth(5).expect("a range").to_owned();
        (Network::range(&range).expect("a range"), counts.widened)
    };
    let redactor = Redactor::new(KEY);
    let new = |text: &str| redactor.network(&Network::parse(text).expect("a network"));
    assert_eq!(range("192.0.2.0-192.0.2.127"), (vec![new("192.0.2.0/25")], 0));
    assert_eq!(range("192.0.2.1-192.0.2.6"), (vec![new("192.0.2.0/29")], 1));
    assert_eq!(range("fd00::-fd00::ffff"), (vec![new("fd00::/112")], 0));
}

#[test]
fn what_introduces_rules_keeps_only_the_command() {
    let text = "root@payroll:~# ip6tables -t nat -S\n-P PREROUTING ACCEPT\n";
    assert_eq!(redacted(text, Language::Iptables).0, "# ip6tables -t nat -S\n-P PREROUTING ACCEPT\n");
    let warning = "# Warning: iptables-legacy tables present, use iptables-legacy-save to see them\n";
    assert_eq!(redacted(warning, Language::Iptables).0, warning);
    let (text, counts) = redacted("$ nft list ruleset\ntable ip payroll {\n\tchain c {\n\t}\n}\nbye\n", Language::Nft);
    assert_eq!((counts.left_out, text.contains("payroll"), text.lines().count()), (2, false, 6));
    let (text, counts) = redacted("HTTP/1.0 200 OK\nServer: payroll\n\nipvs\n", Language::ProxyMode);
    assert_eq!((text.as_str(), counts.left_out), ("ipvs", 0));
    let (text, counts) = redacted("*nat -A A -j DROP -A B -j DROP -A C -j DROP COMMIT", Language::Iptables);
    assert_eq!((counts.lines, counts.left_out, text.matches("\n-A x-").count()), (5, 0, 3), "{text}");
    let refused = Redactor::new(KEY).text("{\"kind\": \"List\"}", Language::Iptables).expect_err("no rules");
    assert_eq!(refused.to_string(), "a text that looks like JSON cannot be redacted as it is");
}

/// Lines of every language with a word in them that must not be seen.
fn lines_with(secret: &str) -> Vec<(Language, String)> {
    let words = [
        secret.to_owned(),
        format!("\"{secret}\""),
        format!("\"of {secret}, and {secret}\""),
        format!("--{secret}"),
        format!("--{secret} {secret}"),
        format!("--comment {secret}"),
        format!("--comment \"{secret} cluster IP\""),
        format!("{secret}:80"),
        format!("10.0.0.1,{secret}"),
        format!("{secret}/{secret}:{secret}"),
        format!("KUBE-{secret}"),
        format!("KUBE-SVC-{secret}"),
        format!("cali{secret}+"),
        format!("service-AAAAAAAA-{secret}/{secret}/tcp/{secret}"),
        format!("@{secret}"),
        format!("comment \"{secret}\""),
        format!("/* {secret}/{secret} */"),
        format!("prefix \"{secret}\""),
        format!("{secret}@{secret}"),
        format!("<{secret},UP>"),
        format!("\"{secret}"),
    ];
    let places = [
        (Language::Iptables, ["-A INPUT ", ":", "Chain INPUT (policy ACCEPT)\nDROP all -- ", "", "# ", "*"].as_slice()),
        (
            Language::Nft,
            &["table ip t {\n", "table ip t {\n# ", "table ip ", "", "table ip t {\nset s {\nelements = { "],
        ),
        (Language::Ipvsadm, &["-A -t ", "-> ", "TCP ", "", "IP Virtual Server version "]),
        (Language::Ipset, &["add ", "create ", "Members:\n", "", "# "]),
        (Language::Addresses, &["1: ", "    inet ", "    link/ether ", "", "    altname "]),
        (Language::ProxyMode, &["", "ipvs\n"]),
    ];
    let lines = |(language, places): &(Language, &[&str])| {
        let language = *language;
        let of = |place: &&str| words.iter().map(|word| (language, format!("{place}{word}\n"))).collect::<Vec<_>>();
        places.iter().flat_map(of).collect::<Vec<_>>()
    };
    places.iter().flat_map(lines).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]

    #[test]
    fn no_unknown_word_passes_wherever_it_stands(secret in "[g-z]{7,12}", other in "[a-z0-9-]{1,8}") {
        for (language, text) in lines_with(&secret).into_iter().chain(lines_with(&format!("{secret}-{other}"))) {
            let mut redactor = Redactor::new(KEY);
            redactor.learn_text(&text, language);
            // What begins like a web page is refused as a whole.
            let new = redactor.text(&text, language).map(|(new, _)| new).unwrap_or_default();
            prop_assert!(!new.contains(&secret), "{:?}: {} became {}", language, text, new);
        }
    }

    #[test]
    fn any_text_is_rewritten_line_by_line(text in "([ -~]{0,60}\n){0,8}") {
        let languages = [Language::Nft, Language::Ipvsadm, Language::Ipset, Language::Addresses];
        for language in languages {
            if let Ok((new, counts)) = Redactor::new(KEY).text(&text, language) {
                prop_assert_eq!(new.lines().count(), text.lines().count());
                prop_assert!(counts.left_out <= counts.lines && counts.lines <= text.lines().count());
            }
        }
    }
}

#[test]
fn a_key_without_end_is_none() {
    let run = kube_ipt("snapshot --demo --redact --redact-key /dev/zero -o -").bounded(1000, 20);
    let error = "error: the key /dev/zero is longer than 1 MiB, or has no end\n  try:  head -c 32 /dev/urandom > FILE";
    run.status(2).stderr(error).stdout();
}
