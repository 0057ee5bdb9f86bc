//! Archives and snapshots made to hurt: sizes and counts that lie, names that lead elsewhere, texts that are there a thousand
//! times. What is too much is refused in a line, within limits of memory and processor time.

use std::fs;
use std::io::{Cursor, Write as _};

use serde_json::{Value, json};

use crate::bundles::{Files, gzip, kept, tar_of};
use crate::run::{Run, kube_ipt, node};

fn bounded(args: &str) -> Run {
    kube_ipt(args).bounded(3000, 60)
}

fn rules() -> Vec<u8> {
    fs::read(node("seed/in-sync/save.txt")).expect("the recording is there")
}

/// A header of tar for a member of this kind, whose size is written as these twelve bytes.
fn header(name: &str, kind: u8, size: &[u8; 12]) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_mode(0o644);
    header.set_entry_type(tar::EntryType::new(kind));
    header.as_gnu_mut().expect("GNU").size.copy_from_slice(size);
    header.set_cksum();
    header.as_bytes().to_vec()
}

fn octal(size: usize) -> [u8; 12] {
    format!("{size:011o}\0").into_bytes().try_into().expect("twelve bytes")
}

fn padded(bytes: &[u8]) -> Vec<u8> {
    let mut padded = bytes.to_vec();
    padded.resize(bytes.len().next_multiple_of(512), 0);
    padded
}

/// A tar whose one text has a name that a member before it gives.
fn tar_with_name(kind: u8, name: &[u8]) -> Vec<u8> {
    let before = [header("name", kind, &octal(name.len())), padded(name)].concat();
    [before, header("x", b'0', &octal(rules().len())), padded(&rules()), vec![0; 1024]].concat()
}

/// What `kube-ipt show -f` says of these bytes: stderr with FILE for the path, and the exit status. Nothing is printed on an
/// error.
#[track_caller]
fn said(name: &str, bytes: &[u8]) -> (String, Option<i32>) {
    let (_room, path) = kept(name, bytes);
    let (stdout, stderr, status) = bounded("show --no-api -f").arg(&path).output();
    assert!(stdout.is_empty() || status == Some(0), "{name}: {stderr}");
    (stderr.replace(&path.display().to_string(), "FILE"), status)
}

#[test]
fn sizes_that_lie_are_no_sizes() {
    let largest: [u8; 12] = [&[0x80][..], &[0xff; 11]].concat().try_into().expect("twelve");
    let negative = [0xff; 12];
    let cut = "error: cannot read FILE: it is cut off: its end is missing\n  try:  fetch or make it again\n";
    let over = "error: cannot read FILE: size overflow\n  try:  fetch or make it again\n";
    for (name, size, error) in
        [("octal", octal(0o77_777_777_777), cut), ("largest", largest, over), ("negative", negative, over)]
    {
        let tar = [header("save.txt", b'0', &size), rules()].concat();
        assert_eq!(said(name, &tar), (error.to_owned(), Some(2)), "{name}");
    }
}

#[test]
fn names_longer_than_a_path_are_passed_over() {
    let long = [b"n".repeat(5000), b"\0".to_vec()].concat();
    let path = b"n".repeat(5000);
    let record = [b"5011 path=".to_vec(), path, b"\n".to_vec()].concat();
    assert_eq!(record.len(), 5011);
    for (name, tar) in [("gnu", tar_with_name(b'L', &long)), ("pax", tar_with_name(b'x', &record))] {
        let error = "error: FILE: a member was passed over: its name has 5000 bytes\n  try:  save the rules of the node with: iptables-save > FILE\n";
        assert_eq!(said(name, &tar), (error.to_owned(), Some(2)), "{name}");
    }
    // They are not read to their end.
    let error = "error: FILE: the name and attributes of a member have more than 1 MiB\n  try:  unpack it and look what is in it\n";
    for kind in [b'L', b'K', b'x'] {
        let tar = tar_with_name(kind, &b"n".repeat(2 << 20));
        assert_eq!(said("long", &tar), (error.to_owned(), Some(2)));
        assert_eq!(said("packed", &gzip(&tar)), (error.to_owned(), Some(2)));
    }
    // A hole in a file takes no room on the disk.
    let room = tempfile::tempdir().expect("a folder");
    let path = room.path().join("hole.tar");
    fs::write(&path, header("././@LongLink", b'L', &octal(3 << 30))).expect("writable");
    fs::File::options().write(true).open(&path).and_then(|file| file.set_len((3 << 30) + 512)).expect("writable");
    let run = kube_ipt("show --no-api -f").bounded(300, 5).arg(&path);
    run.status(2).stderr(error.replace("FILE", &path.display().to_string())).stdout();
}

#[test]
fn holes_of_sparse_files_are_not_read() {
    // As `tar -S` packs /var/log/lastlog: 300 GB of which a block is there.
    let mut sparse =
        tar::Header::from_byte_slice(&<[u8; 512]>::try_from(header("lastlog", b'S', &octal(512))).expect("a header"))
            .clone();
    let gnu = sparse.as_gnu_mut().expect("GNU");
    gnu.sparse[0].offset.copy_from_slice(&octal(0));
    gnu.sparse[0].numbytes.copy_from_slice(&octal(512));
    let real = 300_usize << 20;
    gnu.realsize.copy_from_slice(&octal(real));
    gnu.sparse[1].offset.copy_from_slice(&octal(real));
    gnu.sparse[1].numbytes.copy_from_slice(&octal(0));
    sparse.set_cksum();
    let member = [sparse.as_bytes().to_vec(), vec![b'x'; 512]].concat();
    let rules = [header("save.txt", b'0', &octal(rules().len())), padded(&rules()), vec![0; 1024]].concat();
    let tar = [member.repeat(2000), rules].concat();
    let (_room, path) = kept("sparse.tar", &tar);
    let run = kube_ipt("list --no-api -f").bounded(300, 10).arg(&path);
    let (stdout, stderr, status) = run.output();
    assert!(status == Some(0) && stdout.contains("nginx-service"), "{stderr}");
}

#[test]
fn more_members_than_any_report_has_are_refused() {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(0);
    header.set_cksum();
    for _ in 0..200_001 {
        tar.append(&header, &b""[..]).expect("in memory");
    }
    let error = "error: FILE has more than 200000 files\n  try:  give the folder of rules and objects in it alone\n";
    assert_eq!(said("many.tar", &tar.into_inner().expect("in memory")), (error.to_owned(), Some(2)));
    let again: Files = (0..3000).map(|_| ("save.txt".to_owned(), rules())).collect();
    assert_eq!(said("again.tar", &tar_of(&again)), (String::new(), Some(0)), "a later one replaces the one before");
}

#[test]
fn devices_are_nothing_to_read() {
    let devices: Vec<u8> = b"34657".iter().flat_map(|kind| header("../dev", *kind, &octal(0))).collect();
    let text = [header("/rules/save.txt", b'0', &octal(rules().len())), padded(&rules()), vec![0; 1024]].concat();
    // A contiguous file ('7') is a file, and this one is empty.
    let (stderr, status) = said("devices.tar", &[devices, text].concat());
    assert_eq!(status, Some(0), "{stderr}");
    assert!(stderr.starts_with("note: FILE: 3 members are links or no file, and not followed\n"), "{stderr}");
}

#[test]
fn archives_in_archives_stay_closed() {
    let inner = tar_of(&vec![("save.txt".to_owned(), rules())]);
    let outer: Files = vec![("a.tar".to_owned(), inner.clone()), ("b.tar.gz".to_owned(), gzip(&inner))];
    let error = "error: FILE holds no rules of iptables or nftables and no ipvsadm listing in its 2 files\n  \
                 try:  unpack a.tar: an archive in an archive is not opened\n  \
                 try:  save the rules of the node with: iptables-save > FILE\n";
    assert_eq!(said("outer.tar", &tar_of(&outer)), (error.to_owned(), Some(2)));
    let (stderr, status) = said("twice.gz", &gzip(&gzip(&rules())));
    assert_eq!(status, Some(2));
    assert!(stderr.starts_with("error: FILE is compressed with gzip; expected rules"), "{stderr}");
}

/// A zip with one text, whose size is said to be `size`.
fn zip_that_says(size: u32) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    archive.start_file("a.txt", zip::write::SimpleFileOptions::default()).expect("in memory");
    archive.write_all(&rules()).expect("in memory");
    let mut zip = archive.finish().expect("in memory").into_inner();
    for (magic, at) in [(b"PK\x03\x04", 22), (b"PK\x01\x02", 24)] {
        let start = zip.windows(4).position(|window| window == magic).expect("a header");
        zip[start + at..start + at + 4].copy_from_slice(&size.to_le_bytes());
    }
    zip
}

#[test]
fn a_zip_that_lies_takes_no_more_than_it_is() {
    // It is believed no size: what is packed tells its own end, and what does not fit what was said is told.
    let (stderr, status) = said("large.zip", &zip_that_says(0xffff_fff0));
    assert_eq!((stderr.as_str(), status), ("", Some(0)));
    let (stderr, status) = said("small.zip", &zip_that_says(10));
    assert!(
        matches!(status, Some(2)) && stderr.starts_with("error: FILE:a.txt cannot be read: "),
        "{status:?} {stderr}"
    );
    let mut counted = zip_that_says(10);
    let end = counted.windows(4).position(|window| window == b"PK\x05\x06").expect("the end");
    counted[end + 8..end + 20].fill(0xfe);
    let (stderr, status) = said("counted.zip", &counted);
    assert!(
        status == Some(2) && stderr.starts_with("error: cannot read FILE: it is no whole zip archive ("),
        "{stderr}"
    );
}

#[test]
fn members_that_share_their_bytes_have_one_limit() {
    // One text that grows two hundredfold, named 3000 times by the directory of the archive.
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    archive.start_file("a.txt", zip::write::SimpleFileOptions::default()).expect("in memory");
    archive.write_all(&[rules(), b"\n#".repeat(5 << 20)].concat()).expect("in memory");
    let zip = archive.finish().expect("in memory").into_inner();
    let find = |magic: &[u8; 4]| zip.windows(4).position(|window| window == magic).expect("a header");
    let (directory, end) = (find(b"PK\x01\x02"), find(b"PK\x05\x06"));
    let mut bomb = zip[..directory].to_vec();
    for n in 0..3000_u32 {
        let mut entry = zip[directory..end].to_vec();
        // Names of one length: a.txt, 0.txt …
        let name = format!("{n:05}");
        let at = entry.windows(5).position(|window| window == b"a.txt").expect("the name");
        entry[at..at + 5].copy_from_slice(name.as_bytes());
        bomb.extend(entry);
    }
    let length = u32::try_from(bomb.len() - directory).expect("small");
    bomb.extend_from_slice(b"PK\x05\x06\0\0\0\0");
    bomb.extend_from_slice(&3000_u16.to_le_bytes());
    bomb.extend_from_slice(&3000_u16.to_le_bytes());
    bomb.extend_from_slice(&length.to_le_bytes());
    bomb.extend_from_slice(&u32::try_from(directory).expect("small").to_le_bytes());
    bomb.extend_from_slice(&[0, 0]);
    let error =
        "error: FILE unpacks to far more than an archive of its size does\n  try:  unpack it and look what is in it\n";
    assert_eq!(said("shared.zip", &bomb), (error.to_owned(), Some(2)));
}

#[test]
fn a_packed_text_in_an_archive_grows_no_more_than_one_by_itself() {
    let packed = gzip(&[rules(), b"\n#".repeat(33 << 20)].concat());
    let files: Files = vec![("save.txt.gz".to_owned(), packed)];
    let error = "error: FILE: save.txt.gz unpacks to more than 64 MiB, which no text of its size does\n  \
                 try:  save the rules of the node with: iptables-save > FILE\n";
    assert_eq!(said("packed.tar", &tar_of(&files)), (error.to_owned(), Some(2)));
}

#[test]
fn files_larger_than_memory_are_refused_before_they_are_read() {
    let room = tempfile::tempdir().expect("a folder");
    let path = room.path().join("sparse");
    fs::File::create(&path).and_then(|file| file.set_len(1 << 40)).expect("a file with a hole");
    let error = format!(
        "error: {} is larger than 4 GiB, the most this program reads at once\n  try:  give the nat table alone: iptables-save -t nat",
        path.display()
    );
    bounded("show --no-api -f").arg(&path).status(2).stderr(error).stdout();
    let error = format!("error: cannot read {}: out of memory", path.display());
    fs::File::options().write(true).open(&path).and_then(|file| file.set_len(0xffff_0000)).expect("writable");
    bounded("show --no-api -f").arg(&path).status(2).stderr(error).stdout();
    let error = "error: cannot read /dev/zero: out of memory";
    kube_ipt("show --no-api -f /dev/zero").bounded(700, 60).status(2).stderr(error).stdout();
    let objects = kube_ipt("check --objects /dev/zero -f").arg(node("seed/in-sync/save.txt")).bounded(700, 60);
    objects.status(2).stderr(error).stdout();
    // What is behind the end of a tar is not looked at.
    let tar = tar_of(&vec![("save.txt".to_owned(), rules())]);
    fs::write(&path, &tar).expect("writable");
    fs::File::options().write(true).open(&path).and_then(|file| file.set_len(1 << 40)).expect("writable");
    bounded("show --no-api -f").arg(&path).stdout();
}

/// A snapshot that says this of itself.
fn snapshot(index: &Value) -> Vec<u8> {
    let objects = fs::read(node("seed/in-sync/cluster.json")).expect("the recording is there");
    let files = vec![
        ("snapshot.json".to_owned(), index.to_string().into_bytes()),
        ("nodes/n/a.txt".to_owned(), rules()),
        ("objects/cluster.json".to_owned(), objects),
    ];
    gzip(&tar_of(&files))
}

#[test]
fn a_snapshot_names_each_text_once_and_none_outside() {
    let text = |file: &str| json!({"file": file, "label": "x"});
    let of = |nodes: Value| json!({"schema": "kube-ipt-snapshot/v1", "tool": "x", "nodes": nodes});
    let one = |texts: Vec<Value>| json!({"name": "n", "origin": "saved", "texts": texts});
    assert_eq!(said("good", &snapshot(&of(json!([one(vec![text("nodes/n/a.txt")])])))), (String::new(), Some(0)));
    let twice = "error: FILE is a snapshot that names nodes/n/a.txt twice\n  try:  make it again\n";
    let many = json!(vec![one(vec![text("nodes/n/a.txt")]); 20_000]);
    let texts = json!([one(vec![text("nodes/n/a.txt"); 20_000])]);
    for (name, index) in [("nodes", of(many)), ("texts", of(texts))] {
        assert_eq!(said(name, &snapshot(&index)), (twice.to_owned(), Some(2)), "{name}");
    }
    let none = "error: FILE is a snapshot of no node\n  try:  make it again\n";
    assert_eq!(said("none", &snapshot(&of(json!([])))), (none.to_owned(), Some(2)));
    let mut noted = of(json!(vec![one(Vec::new()); 20_000]));
    noted["notes"] = json!(["x".repeat(100_000)]);
    let wanted = "error: FILE is a snapshot with more notes than 20000 nodes have\n  try:  make it again\n";
    assert_eq!(said("notes", &snapshot(&noted)), (wanted.to_owned(), Some(2)));
    for outside in ["../../../etc/passwd", "/etc/passwd"] {
        let lacks = format!(
            "error: FILE is a snapshot that lacks {outside}: a part of it was lost\n  try:  fetch or make it again\n"
        );
        let index = of(json!([one(vec![text(outside)])]));
        assert_eq!(said("outside", &snapshot(&index)), (lacks, Some(2)));
    }
}

#[test]
fn an_index_that_nests_without_end_is_an_error() {
    let index = format!(
        r#"{{"schema":"kube-ipt-snapshot/v1","tool":"","nodes":[],"objects":{{"file":"o","from":"","covers":{}{}}}}}"#,
        "[".repeat(200_000),
        "]".repeat(200_000)
    );
    let tar = tar_of(&vec![("snapshot.json".to_owned(), index.into_bytes())]);
    let (stderr, status) = said("deep.tar", &tar);
    assert_eq!(status, Some(2));
    assert!(
        stderr.starts_with("error: FILE is a snapshot whose snapshot.json cannot be read: recursion limit"),
        "{stderr}"
    );
}
