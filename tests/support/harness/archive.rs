//! Archives: bytes that claim to be one, and texts that are put into one in every form, which must come out the same.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Cursor, Write as _};
use std::path::Path;

use kube_ipt::source::{Collection, Input, open};

use super::parts;

/// Bytes in all texts of an archive of some kilobytes.
const MOST: usize = 80 << 20;

/// Bytes of a name in a header of tar.
const NAME: usize = 100;

pub(super) fn holds(data: &[u8]) {
    let room = tempfile::tempdir().expect("a folder");
    read(room.path(), data);
    let text = String::from_utf8_lossy(data);
    let members = parts::of(&text);
    if members.is_empty() || members.len() > 32 {
        return;
    }
    let tar = tarred(&members);
    let found = [read(room.path(), &gzipped(&tar)), read(room.path(), &zipped(&members)), read(room.path(), &tar)];
    let [packed, zipped, plain] = found.map(|input| input.map(|collection| collection.members));
    assert_eq!(packed, plain, "packed and not");
    if distinct(&members) {
        assert_eq!(zipped, plain, "zip and tar");
    }
}

/// True if no two members have one name, which each kind of archive settles in its own way.
fn distinct(members: &[(&str, &str)]) -> bool {
    let names: BTreeMap<String, usize> =
        members.iter().map(|(name, _)| (name.replace(['/', '\\', '.', '\0'], ""), 1)).collect();
    names.len() == members.len() && members.iter().all(|(name, _)| is_plain(name))
}

/// True for a name that is a file's in every kind of archive.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.len() < NAME && !name.ends_with(['/', '\\']) && !name.contains('\0')
}

/// Reads `bytes` as a file, in which everything matters; `None` where it is refused or no archive.
fn read(room: &Path, bytes: &[u8]) -> Option<Collection> {
    let path = room.join("archive");
    fs::write(&path, bytes).expect("a file");
    let input = open(&path, &|_, _| true);
    assert_eq!(fs::read_dir(room).expect("a folder").count(), 1, "something was written");
    match input {
        Ok(Input::Collection(collection)) => {
            let size: usize = collection.members.values().map(String::len).sum();
            assert!(size <= MOST, "{} bytes became {size}", bytes.len());
            assert!(collection.members.keys().all(|name| !name.starts_with('/')), "{:?}", collection.members.keys());
            if let Some(Ok(kept)) = collection.snapshot() {
                let texts = kept.nodes.iter().flat_map(|bundle| &bundle.captures);
                assert!(
                    texts
                        .map(|capture| &capture.text)
                        .all(|text| collection.members.values().any(|m| m.as_str() == &**text))
                );
            }
            Some(collection)
        }
        Ok(Input::Text(capture, _)) => {
            assert!(capture.text.len() <= MOST);
            None
        }
        Err(error) => {
            assert!(!error.what.is_empty());
            None
        }
    }
}

fn tarred(members: &[(&str, &str)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, text) in members {
        let mut header = tar::Header::new_gnu();
        // As it is: a builder refuses names that lead elsewhere.
        let bytes = &name.as_bytes()[..name.len().min(NAME)];
        header.as_mut_bytes()[..bytes.len()].copy_from_slice(bytes);
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        archive.append(&header, text.as_bytes()).expect("memory takes everything");
    }
    archive.into_inner().expect("memory takes everything")
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(bytes).and_then(|()| packer.finish()).expect("memory takes everything")
}

fn zipped(members: &[(&str, &str)]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, text) in members {
        let begun = archive.start_file(*name, zip::write::SimpleFileOptions::default());
        // It refuses a second file of one name.
        if begun.is_ok() {
            archive.write_all(text.as_bytes()).expect("memory takes everything");
        }
    }
    archive.finish().expect("memory takes everything").into_inner()
}
