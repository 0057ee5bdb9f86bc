//! gzip with limits: what grows more than any text of rules or objects does was made to fill memory. What is packed otherwise
//! is told.

use std::cell::Cell;
use std::io::{self, Read, Take};

use flate2::bufread::GzDecoder;
use flate2::read::MultiGzDecoder;

use super::SourceError;
use crate::shell;

/// The most a text may hold: thirty times the objects of a cluster of 100,000 endpoints.
pub(super) const MOST: u64 = 1 << 30;

/// The most a dump by itself may have, which is what its index can number.
pub(super) const LARGEST: u64 = u32::MAX as u64;

/// Rules and objects shrink to a thirtieth or so. What grows by more than this when it is unpacked was made to fill memory.
const GROWTH: u64 = 200;

/// Small files may grow to this all the same.
const SMALL: u64 = 64 << 20;

/// What is wrong with something that ends too early.
pub(super) const CUT: &str = "it is cut off: its end is missing";

/// True for the magic number of gzip.
pub(super) fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1f, 0x8b])
}

/// The most that so many bytes may unpack to.
pub(super) fn growth(packed: u64) -> u64 {
    packed.saturating_mul(GROWTH).max(SMALL)
}

/// Unpacks `bytes`, which are called `label`. Zeros behind the end are what fills the last block of a tape or a disk.
pub(super) fn gunzip(label: &str, bytes: &[u8]) -> Result<Vec<u8>, SourceError> {
    let most = growth(bytes.len() as u64).min(MOST);
    let mut unpacked = Vec::new();
    let mut packed = bytes;
    loop {
        let mut member = GzDecoder::new(packed);
        let read = member.by_ref().take(most + 1 - unpacked.len() as u64).read_to_end(&mut unpacked);
        read.map_err(|e| SourceError::new(format!("cannot unpack {label}: {}", spoiled(&e)), None))?;
        if unpacked.len() as u64 > most {
            let what = format!("{label} unpacks to more than {} MiB, which no text of its size does", most >> 20);
            return Err(SourceError::new(what, ["unpack it and look what is in it"]));
        }
        packed = member.into_inner();
        if packed.iter().all(|byte| *byte == 0) {
            return Ok(unpacked);
        }
        if !is_gzip(packed) {
            let at = bytes.len() - packed.len();
            let what = format!("cannot unpack {label}: it ends at byte {at}, and what follows is no gzip");
            return Err(SourceError::new(what, ["fetch or make it again; zcat leaves out what follows, and says so"]));
        }
    }
}

/// The first bytes that `packed`, which may be cut off anywhere, unpacks to; at most `most`.
pub(super) fn beginning(packed: &[u8], most: usize) -> Vec<u8> {
    let mut head = vec![0; most];
    let mut decoder = MultiGzDecoder::new(packed);
    let mut filled = 0;
    while filled < most {
        match decoder.read(&mut head[filled..]) {
            Ok(0) | Err(_) => break,
            Ok(read) => filled += read,
        }
    }
    head.truncate(filled);
    head
}

/// What is wrong with packed bytes, in words.
pub(super) fn spoiled(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => CUT.to_owned(),
        _ => super::file::reason(error),
    }
}

/// A reader that knows how much may still come and whether the end came.
pub(super) struct Limited<R> {
    inner: Take<R>,
    /// Nothing more came.
    pub(super) ended: bool,
}

impl<R: Read> Limited<R> {
    pub(super) fn new(inner: R, most: u64) -> Self {
        Self { inner: inner.take(most), ended: false }
    }

    /// How much may still come.
    pub(super) fn left(&self) -> u64 {
        self.inner.limit()
    }
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.ended |= read == 0 && !buffer.is_empty();
        Ok(read)
    }
}

/// A reader that gives no more than is left, so that a header is not read whose names have no end.
pub(super) struct Leashed<'l, R> {
    pub(super) inner: R,
    pub(super) left: &'l Cell<u64>,
}

impl<R: Read> Read for Leashed<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left.get()).unwrap_or(usize::MAX).min(buffer.len());
        if most == 0 && !buffer.is_empty() {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let read = self.inner.read(&mut buffer[..most])?;
        self.left.set(self.left.get() - read as u64);
        Ok(read)
    }
}

/// The program that unpacks what is packed in a way not known here.
pub(super) fn packer(head: &[u8]) -> Option<&'static str> {
    [(b"\xfd7zXZ\0".as_slice(), "xz"), (b"BZh", "bzip2"), (b"\x28\xb5\x2f\xfd", "zstd")]
        .into_iter()
        .find_map(|(magic, program)| head.starts_with(magic).then_some(program))
}

/// Says how to unpack it.
pub(super) fn packed(label: &str, program: &str) -> SourceError {
    let what = format!("{label} is compressed with {program}, which this program does not unpack");
    let hint = match label {
        "stdin" => format!("put {program} -dc before it: … | {program} -dc | kube-ipt show"),
        file => format!("{program} -dc {} | kube-ipt show", shell::operand(file)),
    };
    SourceError { what, hints: vec![hint] }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(text: &str) -> Vec<u8> {
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(text.as_bytes()).expect("memory takes everything");
        packed.finish().expect("memory takes everything")
    }

    #[test]
    fn what_follows_the_end_is_another_member_or_padding_or_an_error() {
        let whole = gzip("-N A\n");
        assert_eq!(gunzip("f", &[whole.clone(), gzip("-N B\n")].concat()).expect("two members"), b"-N A\n-N B\n");
        assert_eq!(gunzip("f", &[whole.clone(), vec![0; 512]].concat()).expect("padding"), b"-N A\n");
        let error = gunzip("f", &[whole.clone(), b"done\n".to_vec()].concat()).expect_err("no gzip");
        let what = format!("cannot unpack f: it ends at byte {}, and what follows is no gzip", whole.len());
        assert_eq!(error.what, what);
        let cut = [whole.clone(), whole[..8].to_vec()].concat();
        assert_eq!(gunzip("f", &cut).expect_err("cut off").what, format!("cannot unpack f: {CUT}"));
    }
}
