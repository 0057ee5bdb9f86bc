//! A text that is read all at once: how large it may be, and a large file by all cores.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use super::SourceError;
use super::unpack::LARGEST;
#[cfg(unix)]
use crate::cores;

/// Smaller files are read sooner than a thread is started.
#[cfg(unix)]
const WORTH_SHARING: usize = 4 << 20;

/// Says that a text is longer than its index can number.
pub fn too_large(label: &str) -> SourceError {
    let what = format!("{label} is larger than 4 GiB, the most this program reads at once");
    SourceError::new(what, ["give the nat table alone: iptables-save -t nat"])
}

/// What can be read from its beginning again, and all at once.
pub(super) trait Whole: Read + Seek {
    /// All of it, which is `length` bytes, unless it changes just now.
    fn whole(&mut self, length: u64) -> io::Result<Vec<u8>>;
}

impl Whole for io::Cursor<Vec<u8>> {
    fn whole(&mut self, _: u64) -> io::Result<Vec<u8>> {
        Ok(std::mem::take(self.get_mut()))
    }
}

impl Whole for File {
    fn whole(&mut self, length: u64) -> io::Result<Vec<u8>> {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        // Memory that cannot be had is an error here, and would end the program where it is taken.
        Vec::<u8>::new().try_reserve_exact(length).map_err(|_| io::ErrorKind::OutOfMemory)?;
        let mut bytes = shared_out(self, length)?;
        // What was added meanwhile; all of it, if it was not read yet.
        let read = bytes.len() as u64;
        self.seek(SeekFrom::Start(read))?;
        self.take(LARGEST + 1 - read).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

/// The first `length` bytes of a large file, read by all cores, each its part: most of the time goes into memory that is
/// touched for the first time. Nothing where that is not worth it, or where the file is shorter now.
#[cfg(unix)]
fn shared_out(file: &File, length: usize) -> io::Result<Vec<u8>> {
    use std::os::unix::fs::FileExt as _;
    if length < WORTH_SHARING {
        return Ok(Vec::with_capacity(length));
    }
    let part = length.div_ceil(cores::count());
    let mut bytes = vec![0; length];
    let parts = bytes.chunks_mut(part).zip((0u64..).step_by(part));
    let read = cores::each(parts, |(part, at)| file.read_exact_at(part, at));
    match read.into_iter().collect::<io::Result<()>>() {
        Ok(()) => Ok(bytes),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

#[cfg(not(unix))]
fn shared_out(_: &File, length: usize) -> io::Result<Vec<u8>> {
    Ok(Vec::with_capacity(length))
}
