//! Many texts in one: directories, tar, tar.gz and zip, as support bundles come. Nothing is ever written, names are labels
//! and lead nowhere, and links are not followed.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use super::file::{decoded, reason};
use super::folder::folder;
use super::member::{Flaw, Flaws, shown};
use super::snapshot;
use super::unpack::{self, CUT, LARGEST, Leashed, Limited, MOST, growth, is_gzip, packed, packer};
use super::whole::{Bytes, Whole, too_large};
use super::{Capture, SourceError, Text};
use crate::order::Order as _;

/// So much of a member is looked at to tell whether it matters; preambles of shells and log collectors are shorter.
const HEAD: u64 = 64 << 10;

/// Members an archive may have. The report of a large machine has twenty thousand.
const MEMBERS: usize = 200_000;

/// The most that stands before a member in a tar: its header, and those of a long name, of the file a link leads to, of
/// attributes, which Linux lets have 64 KiB, and of the holes of a sparse file.
const HEADERS: u64 = 1 << 20;

/// The longest path of a member: no system has a file of a longer one (PATH_MAX of Linux).
const LONGEST: usize = 4096;

/// What was told to be read.
#[derive(Debug)]
pub enum Input {
    /// One text, with a note about its bytes.
    Text(Capture, Option<String>),
    /// Several.
    Collection(Collection),
}

/// The texts of a directory or archive that matter.
#[derive(Debug, Default)]
pub struct Collection {
    /// What it is called.
    pub label: String,
    /// The texts, by the path each has in it.
    pub members: BTreeMap<String, String>,
    /// Paths of members that were not read: they are no rules and no objects.
    pub others: Vec<String>,
    /// What the reader of the answer should know: members that could not be read, and why.
    pub notes: Vec<String>,
}

/// Tells from its path and first bytes whether a member may matter.
pub(super) type Matters<'w> = &'w dyn Fn(&str, &[u8]) -> bool;

/// Reads what `path` names: a text, plain or gzip, or a directory or archive with the members that `matter`.
pub fn open(path: &Path, matters: Matters<'_>) -> Result<Input, SourceError> {
    let label = path.display().to_string();
    let failed = |error: &io::Error| {
        let hint = match error.kind() {
            io::ErrorKind::PermissionDenied => Some("read it with sudo, or copy it to a place you can read"),
            _ => None,
        };
        SourceError::new(format!("cannot read {label}: {}", reason(error)), hint)
    };
    let mut file = File::open(path).map_err(|e| failed(&e))?;
    let about = file.metadata().map_err(|e| failed(&e))?;
    if about.is_dir() {
        return folder(path, label.clone(), matters).map(Input::Collection);
    }
    // What cannot be gone back in (a pipe, /dev/fd/63) is read whole first.
    if about.is_file() { input(&label, &mut file, matters) } else { all(&label, file, matters) }
}

/// Reads standard input to its end: a text or an archive.
pub fn stdin(matters: Matters<'_>) -> Result<Input, SourceError> {
    all("stdin", io::stdin().lock(), matters)
}

fn all(label: &str, mut from: impl Read, matters: Matters<'_>) -> Result<Input, SourceError> {
    let mut bytes = Vec::new();
    let shown = if label == "stdin" { "standard input" } else { label };
    let read = from.by_ref().take(LARGEST + 1).read_to_end(&mut bytes);
    read.map_err(|e| SourceError::new(format!("cannot read {shown}: {}", reason(&e)), None))?;
    if bytes.len() as u64 > LARGEST {
        return Err(too_large(label));
    }
    input(label, &mut io::Cursor::new(bytes), matters)
}

/// Tells what the bytes are by their first ones.
fn input(label: &str, mut from: &mut dyn Whole, matters: Matters<'_>) -> Result<Input, SourceError> {
    let failed = |error: &io::Error| SourceError::new(format!("cannot read {label}: {}", reason(error)), None);
    let mut head = Vec::new();
    Read::take(&mut from, HEAD).read_to_end(&mut head).map_err(|e| failed(&e))?;
    let length =
        from.seek(SeekFrom::End(0)).and_then(|length| from.rewind().map(|()| length)).map_err(|e| failed(&e))?;
    let mut collector = Collector::new(label.to_owned(), matters);
    // A tar begins with the name of its first member, which may look like anything, and what is packed may hold anything where
    // a tar says that it is one.
    let is_zip = head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06");
    let packer = packer(&head);
    let is_packed = packer.is_some() || is_gzip(&head) || is_zip;
    if is_tar(&head) && (!is_packed || has_checksum(&head)) {
        collector.tar(&mut Limited::new(BufReader::new(from), u64::MAX), false)?;
        return Ok(Input::Collection(collector.done()));
    }
    if let Some(packer) = packer {
        return Err(packed(label, packer));
    }
    if is_gzip(&head) {
        if is_tar(&unpack::beginning(&head, BLOCK)) {
            let mut unpacked = Limited::new(MultiGzDecoder::new(BufReader::new(from)), growth(length));
            collector.tar(&mut unpacked, true)?;
            return Ok(Input::Collection(collector.done()));
        }
        let mut bytes = Vec::new();
        from.take(MOST).read_to_end(&mut bytes).map_err(|e| failed(&e))?;
        return Ok(text(label, unpack::gunzip(label, &bytes)?));
    }
    if is_zip {
        collector.zip(BufReader::new(from), length)?;
        return Ok(Input::Collection(collector.done()));
    }
    if length > LARGEST {
        return Err(too_large(label));
    }
    match from.whole(length).map_err(|e| failed(&e))? {
        // It may have grown meanwhile.
        Bytes::Few(bytes) if bytes.len() as u64 > LARGEST => Err(too_large(label)),
        Bytes::Few(bytes) => Ok(text(label, bytes)),
        Bytes::Many(memory) => Ok(match Text::in_memory(memory) {
            Ok(whole) => captured(label, whole, None),
            Err(bytes) => text(label, bytes),
        }),
    }
}

fn text(label: &str, bytes: Vec<u8>) -> Input {
    let (text, note) = decoded(label, bytes);
    captured(label, text.into(), note)
}

fn captured(label: &str, text: Text, note: Option<String>) -> Input {
    Input::Text(Capture { label: label.to_owned(), text, command: None }, note)
}

/// Bytes of a header of tar.
const BLOCK: usize = 512;

/// True if `head` begins with a header of tar, as POSIX and GNU write it.
fn is_tar(head: &[u8]) -> bool {
    head.get(257..262) == Some(b"ustar")
}

/// True if a header of tar says its own checksum: the sum of its bytes, with blanks in the place of the checksum.
fn has_checksum(head: &[u8]) -> bool {
    let Some(header) = head.get(..BLOCK) else { return false };
    let said = std::str::from_utf8(&header[148..156]).ok();
    let said = said.and_then(|text| u32::from_str_radix(text.trim_matches(['\0', ' ']), 8).ok());
    let others = header[..148].iter().chain(&header[156..]).map(|byte| u32::from(*byte));
    said == Some(others.sum::<u32>() + 8 * u32::from(b' '))
}

/// A collection in the making.
pub(super) struct Collector<'w> {
    matters: Matters<'w>,
    collection: Collection,
    /// Bytes of the texts that are kept.
    kept: u64,
    /// Members seen.
    seen: usize,
    /// Links and other members that are no files.
    pub(super) odd: usize,
    /// What is wrong with members.
    flaws: Flaws,
}

/// Why a member was not taken.
pub(super) enum Trouble {
    /// It cannot be read.
    Broken(io::Error),
    /// There is more than this program reads.
    Stop(SourceError),
}

impl From<SourceError> for Trouble {
    fn from(error: SourceError) -> Self {
        Self::Stop(error)
    }
}

impl<'w> Collector<'w> {
    pub(super) fn new(label: String, matters: Matters<'w>) -> Self {
        let collection = Collection { label, ..Collection::default() };
        Self { matters, collection, kept: 0, seen: 0, odd: 0, flaws: Flaws::default() }
    }

    pub(super) fn done(mut self) -> Collection {
        self.collection.notes.extend(self.flaws.rest(&self.collection.label));
        if self.odd > 0 {
            let label = &self.collection.label;
            let links = if self.odd == 1 { "1 member is a link" } else { &format!("{} members are links", self.odd) };
            self.collection.notes.push(format!("{label}: {links} or no file, and not followed"));
        }
        self.collection.others.order();
        self.collection
    }

    /// Counts a member.
    pub(super) fn count(&mut self) -> Result<(), SourceError> {
        self.seen += 1;
        if self.seen > MEMBERS {
            let what = format!("{} has more than {MEMBERS} files", self.collection.label);
            return Err(SourceError::new(what, ["give the folder of rules and objects in it alone"]));
        }
        Ok(())
    }

    /// Says what is wrong with a member, of each kind for the first few.
    fn note(&mut self, flaw: Flaw, what: String) {
        if self.flaws.names(flaw) {
            self.collection.notes.push(what);
        }
    }

    pub(super) fn broken(&mut self, name: &str, why: &str) {
        self.note(Flaw::Unreadable, format!("{}:{name} cannot be read: {why}", self.collection.label));
    }

    fn too_long(&mut self, length: usize) {
        let what = format!("{}: a member was passed over: its name has {length} bytes", self.collection.label);
        self.note(Flaw::LongName, what);
    }

    /// Takes a member if it matters. One that is packed by itself is unpacked.
    pub(super) fn take(&mut self, name: &str, from: &mut dyn Read) -> Result<(), Trouble> {
        let mut bytes = Vec::new();
        from.take(HEAD).read_to_end(&mut bytes).map_err(Trouble::Broken)?;
        let packed = is_gzip(&bytes);
        let unpacked = packed.then(|| unpack::beginning(&bytes, usize::try_from(HEAD).unwrap_or_default()));
        let head = unpacked.as_ref().unwrap_or(&bytes);
        if !snapshot::may_be_part(name) && !(self.matters)(name, head) {
            self.collection.others.push(name.to_owned());
            return Ok(());
        }
        from.take(self.room() - bytes.len() as u64).read_to_end(&mut bytes).map_err(Trouble::Broken)?;
        if packed {
            match unpack::gunzip(name, &bytes) {
                Ok(unpacked) => bytes = unpacked,
                Err(error) => {
                    self.note(Flaw::Unreadable, format!("{}: {}", self.collection.label, error.what));
                    return Ok(());
                }
            }
        }
        self.kept += bytes.len() as u64;
        if self.kept > MOST {
            let (label, most) = (&self.collection.label, MOST >> 20);
            let what = format!("{label} holds more than {most} MiB of rules and objects, the most this program reads");
            return Err(SourceError::new(what, ["give the dumps of one node alone, each with -f"]).into());
        }
        let (text, note) = decoded(&format!("{}:{name}", self.collection.label), bytes);
        if let Some(note) = note {
            self.note(Flaw::Bytes, note);
        }
        // As in an archive that is unpacked, a later member replaces an earlier one of its name.
        self.collection.members.insert(name.to_owned(), text);
        Ok(())
    }

    /// The most that the next member may have, and one byte more, by which too much is told.
    fn room(&self) -> u64 {
        MOST - self.kept + HEAD + 1
    }

    /// Reads a tar. One that is cut off anywhere is an error: what is missing might be what counts.
    fn tar<R: Read>(&mut self, from: &mut Limited<R>, packed: bool) -> Result<(), SourceError> {
        let label = self.collection.label.clone();
        let cannot = |why: String| SourceError::new(format!("cannot read {label}: {why}"), ["fetch or make it again"]);
        let read = self.members_of_tar(from);
        if from.left() == 0 {
            return Err(grown(&label));
        }
        read.map_err(|trouble| match trouble {
            Trouble::Broken(_) if from.ended => cannot(CUT.to_owned()),
            Trouble::Broken(error) => cannot(unpack::spoiled(&error)),
            Trouble::Stop(error) => error,
        })?;
        // The end of a tar is told by a block of zeros, not by the end of the file.
        if from.ended {
            return Err(cannot(CUT.to_owned()));
        }
        // What is packed proves at its very end that it is whole.
        let rest = if packed { io::copy(from, &mut io::sink()) } else { Ok(0) };
        rest.map(|_| ()).map_err(|error| cannot(unpack::spoiled(&error)))
    }

    fn members_of_tar<R: Read>(&mut self, from: &mut Limited<R>) -> Result<(), Trouble> {
        let leash = Cell::new(HEADERS);
        let mut archive = tar::Archive::new(Leashed { inner: from, left: &leash });
        for entry in archive.entries().map_err(Trouble::Broken)? {
            let mut entry = match entry {
                Err(_) if leash.get() == 0 => {
                    let what = format!(
                        "{}: the name and attributes of a member have more than {} MiB",
                        self.collection.label,
                        HEADERS >> 20
                    );
                    return Err(SourceError::new(what, ["unpack it and look what is in it"]).into());
                }
                entry => entry.map_err(Trouble::Broken)?,
            };
            // What is left of it is read with the next header. The holes of a sparse file are not in the tar.
            let is_sparse = entry.header().entry_type().is_gnu_sparse();
            let stored = if is_sparse { entry.header().entry_size().map_err(Trouble::Broken)? } else { entry.size() };
            leash.set(stored.saturating_add(HEADERS));
            self.member_of_tar(&mut entry)?;
        }
        Ok(())
    }

    fn member_of_tar(&mut self, entry: &mut tar::Entry<'_, impl Read>) -> Result<(), Trouble> {
        let kind = entry.header().entry_type();
        self.count()?;
        let path = entry.path_bytes();
        if path.len() > LONGEST {
            self.too_long(path.len());
            return Ok(());
        }
        let name = shown(&path);
        if kind.is_file() || kind.is_contiguous() {
            self.take(&name, entry)?;
        } else if !kind.is_dir() && !kind.is_pax_global_extensions() {
            self.odd += 1;
        }
        Ok(())
    }

    /// Reads a zip, whose members can be read although others are spoiled.
    fn zip(&mut self, from: impl Read + Seek, length: u64) -> Result<(), SourceError> {
        let label = self.collection.label.clone();
        let mut archive = zip::ZipArchive::new(from).map_err(|error| {
            let what = format!("cannot read {label}: it is no whole zip archive ({error})");
            SourceError::new(what, ["fetch or make it again"])
        })?;
        let mut left = growth(length);
        for at in 0..archive.len() {
            self.count()?;
            let mut member = match archive.by_index(at) {
                Ok(member) => member,
                Err(error) => {
                    self.broken(&format!("member {}", at + 1), &error.to_string());
                    continue;
                }
            };
            if !member.is_file() {
                self.odd += usize::from(!member.is_dir());
                continue;
            }
            if member.name_raw().len() > LONGEST {
                self.too_long(member.name_raw().len());
                continue;
            }
            let name = shown(member.name_raw());
            let mut limited = Limited::new(&mut member, left);
            let taken = self.take(&name, &mut limited);
            left = limited.left();
            if left == 0 {
                return Err(grown(&label));
            }
            match taken {
                Ok(()) => {}
                Err(Trouble::Broken(error)) => self.broken(&name, &unpack::spoiled(&error)),
                Err(Trouble::Stop(error)) => return Err(error),
            }
        }
        Ok(())
    }
}

fn grown(label: &str) -> SourceError {
    let what = format!("{label} unpacks to far more than an archive of its size does");
    SourceError::new(what, ["unpack it and look what is in it"])
}
