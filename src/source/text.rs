//! A text as it was read, in memory that suits its size.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use memmap2::MmapMut;
use yoke::Yoke;

/// A text that was read.
#[derive(Clone)]
pub struct Text(Kept);

#[derive(Clone)]
enum Kept {
    String(String),
    /// In memory of its own, see [`memory`].
    Memory(Yoke<&'static str, Arc<MmapMut>>),
}

impl Text {
    /// The text that `memory` holds; its bytes if they are no UTF-8.
    pub(super) fn in_memory(memory: MmapMut) -> Result<Self, Vec<u8>> {
        let memory = Arc::new(memory);
        let text = Yoke::try_attach_to_cart(Arc::clone(&memory), |bytes| simdutf8::basic::from_utf8(bytes));
        text.map(|text| Self(Kept::Memory(text))).map_err(|_| memory.to_vec())
    }
}

/// So many bytes of memory in pages as large as the system has them. A quarter of the time it takes to read a large file, and
/// to find what is wanted in it, goes into small pages.
pub(super) fn memory(bytes: usize) -> std::io::Result<MmapMut> {
    let memory = MmapMut::map_anon(bytes).map_err(|_| std::io::ErrorKind::OutOfMemory)?;
    // A wish: small pages do as well.
    #[cfg(target_os = "linux")]
    let _ = memory.advise(memmap2::Advice::HugePage);
    Ok(memory)
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        match &self.0 {
            Kept::String(text) => text,
            Kept::Memory(text) => text.get(),
        }
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(Kept::String(text))
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Text {}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
