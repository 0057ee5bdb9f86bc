//! Where rules come from: files, pipes, the demo.

use std::io::Read as _;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::run::{kube_ipt, node, services};

#[test]
fn the_demos_are_the_recordings() {
    for (demo, folder) in [("--demo", "in-sync"), ("--demo=in-sync", "in-sync"), ("--demo=stale", "stale")] {
        let shown = kube_ipt(&format!("show {demo}")).json();
        let run = kube_ipt("show --node node1 -f").arg(node(&format!("seed/{folder}/save.txt")));
        let recorded = run.arg("--objects").arg(node(&format!("seed/{folder}/cluster.json"))).json();
        assert_eq!(services(shown.clone()), services(recorded));
        assert_eq!([&shown["source"]["from"], &shown["source"]["objects"]], ["demo", "demo"]);
        let alone = kube_ipt(&format!("show {demo} --no-api")).json();
        assert_eq!([&alone["source"]["objects"], &alone["services"][0]["type"]], [&Value::Null, &Value::Null]);
    }
}

#[test]
fn files_pipes_and_dash_are_the_same() {
    let path = node("seed/in-sync/nat-S.txt");
    let text = std::fs::read_to_string(&path).expect("the fixture is there");
    let from_file = kube_ipt("list -f").arg(&path).stdout();
    assert_eq!(kube_ipt("list").stdin(&text).stdout(), from_file);
    assert_eq!(kube_ipt("list -f -").stdin(&text).stdout(), from_file);
    // A file as standard input, not a pipe.
    let output = Command::new(env!("CARGO_BIN_EXE_kube-ipt"))
        .arg("list")
        .stdin(std::fs::File::open(&path).expect("the fixture is there"))
        .output()
        .expect("the program runs");
    assert_eq!(String::from_utf8_lossy(&output.stdout), from_file);
}

#[test]
fn several_files_are_one_node() {
    let run = kube_ipt("list -f")
        .arg(node("kitchen-sink/node2/save-nat.txt"))
        .arg("-f")
        .arg(node("kitchen-sink/node2/save6.txt"));
    let document = run.json();
    assert_eq!(document["source"]["families"], serde_json::json!(["ipv4", "ipv6"]));
    let six = document["services"].as_array().expect("services").iter().filter(|s| s["family"] == "ipv6").count();
    assert_eq!(six, 3);
}

#[test]
fn files_that_cannot_be_read_are_errors() {
    kube_ipt("show -f /nonexistent/dump")
        .status(2)
        .stderr("error: cannot read /nonexistent/dump: no such file or directory")
        .stdout();
    let folder = tempfile::tempdir().expect("a folder");
    let empty = folder.path().join("empty");
    std::fs::write(&empty, "").expect("writable");
    let label = empty.display();
    let error = format!(
        "error: {label} is empty; expected rules of iptables or nftables, or an ipvsadm listing\n  try:  save the rules of the node with: iptables-save > FILE"
    );
    kube_ipt("show -f").arg(&empty).status(2).stderr(error).stdout();
    let gzip = folder.path().join("dump.gz");
    std::fs::write(&gzip, [0x1f, 0x8b, 8, 0]).expect("writable");
    let error = format!("error: cannot unpack {}: it is cut off: its end is missing", gzip.display());
    kube_ipt("show -f").arg(&gzip).status(2).stderr(error).stdout();
}

#[test]
fn bytes_that_are_no_utf8_are_replaced_and_told() {
    let mut bytes = std::fs::read(node("seed/in-sync/nat-S.txt")).expect("the fixture is there");
    bytes.extend_from_slice(b"-A OTHER -m comment --comment \"caf\xe9\" -j RETURN\n");
    let note = "note: stdin holds bytes that are no UTF-8 text, first in line 73: shown as \u{fffd}";
    kube_ipt("list").stdin(bytes).stderr(note).stdout();
}

#[test]
fn a_dump_of_xml_reads_as_the_dump_in_it() {
    let xml = r#"<iptables-rules version="1.0"><table name="nat" >
<chain name="PREROUTING" policy="ACCEPT" packet-count="0" byte-count="0" /><chain name="POSTROUTING" policy="ACCEPT" packet-count="0" byte-count="0" />
<chain name="KUBE-SERVICES" packet-count="0" byte-count="0" ><rule ><conditions><match ><d >10.96.0.1/32</d><p >tcp</p></match>
<comment ><comment >&quot;a/b cluster IP&quot;</comment></comment><tcp ><dport >80</dport></tcp></conditions><actions><call ><KUBE-SVC-X /></call></actions></rule></chain>
<chain name="KUBE-SVC-X" packet-count="0" byte-count="0" ><rule ><actions><call ><KUBE-SEP-A /></call></actions></rule></chain>
<chain name="KUBE-SEP-A" packet-count="0" byte-count="0" ><rule ><conditions><match ><p >tcp</p></match></conditions><actions><DNAT ><to-destination >10.0.0.1:80</to-destination></DNAT></actions></rule></chain>
</table></iptables-rules>"#;
    let note = "note: stdin is iptables-xml output: line numbers are those of the dump in it";
    let document = kube_ipt("show").stdin(xml).stderr(note).json();
    assert_eq!(document["services"][0]["service"], "a/b");
    assert_eq!(document["services"][0]["pools"][0]["endpoints"][0]["address"], "10.0.0.1:80");
    let error = "error: stdin is iptables-xml output that cannot be read: it ends inside <iptables-rules><table>";
    kube_ipt("show").stdin(&xml[..xml.find("<chain").expect("is there")]).status(2).stderr(error).stdout();
}

#[test]
fn a_reader_that_closes_the_pipe_has_what_it_wanted() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_kube-ipt"))
        .args(["show", "-o", "json", "-f"])
        .arg(node("kitchen-sink/node2/save.txt"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut pipe = child.stdout.take().expect("a pipe");
    let mut first = [0; 10];
    pipe.read_exact(&mut first).expect("it writes");
    drop(pipe);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_full_disk_is_an_error() {
    let full = std::fs::File::options().write(true).open("/dev/full").expect("/dev/full is there");
    let output = Command::new(env!("CARGO_BIN_EXE_kube-ipt"))
        .args(["show", "--demo"])
        .stdout(full)
        .output()
        .expect("the program runs");
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.starts_with("error: cannot write the answer: No space left on device"), "{stderr}");
}
