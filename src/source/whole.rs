//! A text that is read all at once: how large it may be, and a large file by all cores.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use memmap2::MmapMut;

use super::SourceError;
#[cfg(unix)]
use super::text::memory;
use super::unpack::LARGEST;
#[cfg(unix)]
use crate::cores;

/// Smaller files are read sooner than a thread is started.
#[cfg(unix)]
const WORTH_SHARING: usize = 4 << 20;

/// So much is read at once: a large page of memory on most machines, and one of them may take longer than another.
#[cfg(unix)]
const PART: usize = 2 << 20;

/// Says that a text is longer than its index can number.
pub fn too_large(label: &str) -> SourceError {
    let what = format!("{label} is larger than 4 GiB, the most this program reads at once");
    SourceError::new(what, ["give the nat table alone: iptables-save -t nat"])
}

/// The bytes of a text.
pub(super) enum Bytes {
    /// As they came.
    Few(Vec<u8>),
    /// Of a large file, in [memory of their own](super::text::memory).
    Many(MmapMut),
}

/// What can be read from its beginning again, and all at once.
pub(super) trait Whole: Read + Seek {
    /// All of it, which is `length` bytes, unless it changes just now.
    fn whole(&mut self, length: u64) -> io::Result<Bytes>;
}

impl Whole for io::Cursor<Vec<u8>> {
    fn whole(&mut self, _: u64) -> io::Result<Bytes> {
        Ok(Bytes::Few(std::mem::take(self.get_mut())))
    }
}

impl Whole for File {
    fn whole(&mut self, length: u64) -> io::Result<Bytes> {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let read = shared_out(self, length)?;
        // What was added meanwhile; all of it, if it was not read yet.
        let behind = read.as_ref().map_or(0, |read| read.len() as u64);
        let mut rest = Vec::new();
        if read.is_none() {
            // Memory that cannot be had is an error here, and would end the program where it is taken.
            rest.try_reserve_exact(length).map_err(|_| io::ErrorKind::OutOfMemory)?;
        }
        self.seek(SeekFrom::Start(behind))?;
        self.take(LARGEST + 1 - behind).read_to_end(&mut rest)?;
        Ok(match read {
            Some(read) if rest.is_empty() => Bytes::Many(read),
            Some(read) => Bytes::Few([&read, rest.as_slice()].concat()),
            None => Bytes::Few(rest),
        })
    }
}

/// The first `length` bytes of a large file, read by all cores, each its part: most of the time goes into memory that is
/// touched for the first time. `None` where that is not worth it, or where the file is shorter now.
#[cfg(unix)]
fn shared_out(file: &File, length: usize) -> io::Result<Option<MmapMut>> {
    use std::os::unix::fs::FileExt as _;
    if length < WORTH_SHARING {
        return Ok(None);
    }
    let mut bytes = memory(length)?;
    let parts = bytes.chunks_mut(PART).enumerate();
    let read = cores::in_turn(parts, |(nth, part)| file.read_exact_at(part, (nth * PART) as u64));
    match read.into_iter().collect::<io::Result<()>>() {
        Ok(()) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(not(unix))]
fn shared_out(_: &File, _: usize) -> io::Result<Option<MmapMut>> {
    Ok(None)
}
