//! Cuts the recordings in fixtures/ into small inputs, the first ones of each corpus: `cargo run --example seeds`, in
//! tests/fuzz.

use std::fs;
use std::io::{Cursor, Write as _};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// Longest input, in bytes.
const MOST: usize = 8 << 10;

fn main() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures");
    let seeds = Seeds { corpus: Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus") };
    for path in files(&fixtures.join("nodes")) {
        let name = path.strip_prefix(&fixtures).unwrap_or(&path).to_string_lossy().replace('/', "-");
        // Every fault is the clean node but for a few lines.
        if name.contains("faults") && !name.contains("clean") {
            continue;
        }
        let Ok(text) = fs::read_to_string(&path) else { continue };
        seeds.cut(targets(&path), &name, &text);
    }
    nodes(&fixtures.join("nodes"), &seeds);
    objects(&fixtures, &seeds);
    archives(&seeds);
}

struct Seeds {
    corpus: PathBuf,
}

impl Seeds {
    fn write(&self, target: &str, name: &str, text: impl AsRef<[u8]>) {
        let folder = self.corpus.join(target);
        fs::create_dir_all(&folder).expect("the corpus can be written");
        fs::write(folder.join(format!("seed-{name}")), text).expect("the corpus can be written");
    }

    /// A node; of what must not be told there is something in every name.
    fn node(&self, name: &str, parts: &[(&str, &str)]) {
        let text: String = parts.iter().map(|(kind, text)| format!("%%% {kind}\n{text}\n")).collect();
        let secret =
            ["web", "nginx", "shop", "cart", "infra"].iter().fold(text.clone(), |t, name| t.replace(name, "s3cr3t"));
        self.write("pipeline", name, text);
        self.write("redact", name, secret);
    }

    /// The first lines, the last ones and some of the middle.
    fn cut(&self, targets: &[&str], name: &str, text: &str) {
        let pieces = pieces(text);
        let kept = [0, pieces.len() / 2, pieces.len().saturating_sub(1)];
        for (n, piece) in pieces.iter().enumerate().filter(|(n, _)| kept.contains(n)) {
            targets.iter().for_each(|target| self.write(target, &format!("{name}-{n}"), piece));
        }
    }
}

/// Parts of whole lines.
fn pieces(text: &str) -> Vec<String> {
    let mut pieces = vec![String::new()];
    for line in text.split_inclusive('\n') {
        if pieces.last().is_some_and(|piece| piece.len() + line.len() > MOST) {
            pieces.push(String::new());
        }
        pieces.last_mut().expect("one at least").push_str(line);
    }
    pieces
}

/// What reads such a file.
fn targets(path: &Path) -> &'static [&'static str] {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    match name.as_str() {
        name if name.contains("nat-L") => &["listing"],
        name if name.starts_with("nat") || name.starts_with("save") => &["rules"],
        name if name.starts_with("ipvsadm") => &["ipvsadm"],
        name if name.starts_with("ipset") || name.starts_with("ip-addr") => &["ipset"],
        name if name.ends_with(".nft") => &["nft_text", "rules"],
        _ => &[],
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).expect("the recordings are there") {
            let path = entry.expect("readable").path();
            if path.is_dir() { open.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

/// Whole small nodes: the texts of one with the objects that its Services need.
fn nodes(nodes: &Path, seeds: &Seeds) {
    let read = |name: &str| read(&nodes.join(name));
    for state in ["in-sync", "stale"] {
        let objects = slim(&read(&format!("seed/{state}/cluster.json")), &|_| true);
        for form in ["nat-S.txt", "save-c.txt", "nat-L-n-v.txt", "nat-L-n-line-numbers.txt"] {
            let rules = pieces(&read(&format!("seed/{state}/{form}"))).swap_remove(0);
            let v6 = read(&format!("seed/{state}/save6.txt"));
            seeds
                .node(&format!("{state}-{form}"), &[("objects", &objects), ("iptables", &rules), ("node", "minikube")]);
            seeds.node(&format!("{state}-{form}-alone"), &[("iptables", &rules), ("iptables", &v6)]);
        }
    }
    let services =
        ["web", "web-sticky", "gw-local", "gw-ext", "gw-lb", "gw-zone", "dns", "nobody", "broken", "cart", "sctp"];
    for service in services {
        let rules = about(&read("kitchen-sink/node1/save.txt"), service);
        let objects = slim(&read("kitchen-sink/cluster.json"), &|name| name.contains(service));
        let of_nft = about_nft(&read("nftables/node2/table-ip.nft"), service);
        let objects_of_nft = slim(&read("nftables/node2/cluster.json"), &|name| name.contains(service));
        seeds.node(&format!("{service}-iptables"), &[("objects", &objects), ("iptables", &rules), ("node", "node1")]);
        seeds.node(&format!("{service}-nft"), &[("objects", &objects_of_nft), ("nft", &of_nft), ("node", "node2")]);
    }
    for folder in ["node2", "node2-wrr", "graceful-termination", "leftover", "stale-endpoint"] {
        let read = |name: &str| pieces(&read(&format!("ipvs/{folder}/{name}"))).swap_remove(0);
        let whole = self::read(&nodes.join(format!("ipvs/{folder}/cluster.json")));
        let objects = slim(&whole, &|name| name.contains("cart"));
        let (servers, sets) = (read("ipvsadm-S-n.txt"), read("ipset-save.txt"));
        let (addresses, rules) = (read("ip-addr-show-kube-ipvs0.txt"), read("save.txt"));
        seeds.node(&format!("ipvs-{folder}"), &[("objects", &objects), ("ipvs", &servers), ("addresses", &addresses)]);
        seeds.node(&format!("ipvs-{folder}-sets"), &[("ipvs", &servers), ("ipset", &sets), ("iptables", &rules)]);
        seeds.node(&format!("ipvs-{folder}-alone"), &[("ipvs", &read("ipvsadm-L-n.txt")), ("mode", "ipvs")]);
    }
}

/// Archives as bytes, and what archives are made of.
fn archives(seeds: &Seeds) {
    let index = json!({"schema": "kube-ipt-snapshot/v1", "tool": "kube-ipt 0.1.0", "taken_at": "2026-11-22T08:28:50Z",
        "redacted": false, "notes": ["a note"],
        "objects": {"file": "objects/cluster.json", "from": "objects", "covers": null},
        "nodes": [{"name": "node1", "machine": {"name": "node1", "addresses": ["10.0.0.1"]}, "origin": "local",
            "proxy_mode": "iptables", "read_at": "2026-11-22T08:28:50Z", "commands": ["iptables -S"],
            "versions": {"kernel": "6.1"}, "notes": [], "texts": [{"file": "nodes/node1/nat.txt", "label": "nat",
                "command": {"language": "iptables", "family": "ipv4", "backend": "nf_tables", "table": "nat"}}]}]});
    let members = [
        ("snapshot.json", index.to_string()),
        ("nodes/node1/nat.txt", "-A KUBE-SERVICES -j KUBE-SVC-X\n".to_owned()),
        ("objects/cluster.json", r#"{"kind":"List","apiVersion":"v1","items":[]}"#.to_owned()),
    ];
    let text: String = members.iter().map(|(name, text)| format!("%%% {name}\n{text}\n")).collect();
    seeds.write("archive", "snapshot", text);
    seeds.write("archive", "names", "%%% ./a/../x.txt\n-A X -j Y\n%%% /etc/y\n*nat\n%%% a\\b\n:X -\n");
    let mut tar = tar::Builder::new(Vec::new());
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, text) in &members {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        tar.append_data(&mut header, name, text.as_bytes()).expect("memory takes everything");
        zip.start_file(*name, zip::write::SimpleFileOptions::default()).expect("memory takes everything");
        zip.write_all(text.as_bytes()).expect("memory takes everything");
    }
    let tar = tar.into_inner().expect("memory takes everything");
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(&tar).expect("memory takes everything");
    seeds.write("archive", "tar.gz", packer.finish().expect("memory takes everything"));
    seeds.write("archive", "zip", zip.finish().expect("memory takes everything").into_inner());
    seeds.write("archive", "tar", tar);
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("the recordings are there")
}

/// The frame of a dump and the rules that speak of a Service.
fn about(save: &str, service: &str) -> String {
    let speaks = |line: &&str| line.contains(&format!("/{service}")) && line.starts_with("-A");
    let spoken: Vec<&str> = save.lines().filter(speaks).take(30).collect();
    let chains: Vec<&str> =
        spoken.iter().flat_map(|line| line.split(' ')).filter(|w| w.starts_with("KUBE-S")).collect();
    let frame = |line: &str| {
        let own = line.starts_with("-A")
            && !line.contains("KUBE-SVC")
            && !line.contains("KUBE-SEP")
            && !line.contains("KUBE-EXT");
        let declares = line.starts_with(':') && chains.iter().any(|chain| line.contains(chain));
        let built_in = line.starts_with(':') && (!line.contains("KUBE-S") || line.contains("KUBE-SERVICES"));
        line.starts_with(['*', '#'])
            || line == "COMMIT"
            || own && !line.contains('/')
            || declares
            || built_in
            || spoken.contains(&line)
    };
    save.lines().filter(|line| frame(line)).map(|line| format!("{line}\n")).collect()
}

/// A table of nft with the chains and elements of a Service, and every chain that is of none.
fn about_nft(listing: &str, service: &str) -> String {
    let mut out = String::new();
    let mut keep = true;
    for line in listing.lines() {
        let begins_chain = line.trim_start().starts_with("chain ");
        if begins_chain {
            keep = !line.contains('/') || line.contains(&format!("/{service}/"));
        }
        let foreign_element = !begins_chain && line.contains(" : goto ") && !line.contains(&format!("/{service}/"));
        if keep && !foreign_element {
            out.push_str(line);
            out.push('\n');
        }
        if line.trim() == "}" && line.starts_with("\t}") {
            keep = true;
        }
    }
    out
}

/// Objects of Services that are `wanted`, without what no program here reads.
fn slim(list: &str, wanted: &dyn Fn(&str) -> bool) -> String {
    let list: Value = serde_json::from_str(list).expect("JSON");
    let items: Vec<Value> = list["items"]
        .as_array()
        .expect("a list")
        .iter()
        .cloned()
        .filter_map(|mut item| {
            let name = item["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            let metadata = item["metadata"].as_object_mut()?;
            metadata.retain(|key, _| ["name", "namespace", "labels"].contains(&key.as_str()));
            if item["kind"] == "Pod" {
                let spec = item["spec"].as_object_mut()?;
                spec.retain(|key, _| ["nodeName", "hostNetwork"].contains(&key.as_str()));
                let status = item["status"].as_object_mut()?;
                status.retain(|key, _| ["podIP", "podIPs", "phase"].contains(&key.as_str()));
            }
            if item["kind"] == "Node" {
                item["status"] = json!({"addresses": item["status"]["addresses"]});
            }
            (item["kind"] == "Node" || wanted(&name)).then_some(item)
        })
        .collect();
    json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string()
}

/// Objects in every form kubectl writes, and documents of nft.
fn objects(fixtures: &Path, seeds: &Seeds) {
    for name in ["seed/in-sync/cluster.json", "kitchen-sink/cluster.json"] {
        let list: Value = serde_json::from_str(&read(&fixtures.join("nodes").join(name))).expect("JSON");
        let items = list["items"].as_array().expect("a list");
        for (n, items) in items.chunks(5).enumerate().step_by(2) {
            let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
            both(seeds, &format!("{}-{n}", name.replace('/', "-")), &slim(&list.to_string(), &|_| true));
            both(seeds, &format!("{}-{n}-whole", name.replace('/', "-")), &items[0].to_string());
        }
    }
    for path in files(&fixtures.join("api")) {
        let text = read(&path);
        if text.len() < MOST {
            both(seeds, &path.file_name().expect("a name").to_string_lossy(), &text);
        }
    }
    let yaml = read(&fixtures.join("nodes/seed/recovered/cluster.yaml"));
    seeds.cut(&["objects_yaml"], "cluster.yaml", &yaml);
    for name in ["node2/ruleset.json", "node1-1.30/ruleset.json"] {
        let document: Value = serde_json::from_str(&read(&fixtures.join("nodes/nftables").join(name))).expect("JSON");
        let objects = document["nftables"].as_array().expect("a list");
        for (n, some) in objects.chunks(25).enumerate().step_by(3) {
            let text = json!({"nftables": some}).to_string();
            if text.len() < 2 * MOST {
                seeds.write("nft_json", &format!("{}-{n}", name.replace('/', "-")), &text);
            }
        }
    }
}

fn both(seeds: &Seeds, name: &str, json: &str) {
    seeds.write("objects_json", name, json);
    let value: Value = serde_json::from_str(json).expect("JSON");
    seeds.write("objects_yaml", name, &kube_ipt::render::yaml(&value).expect("YAML"));
}
