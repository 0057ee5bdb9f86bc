//! The runtime that commands and requests run on, and how much is read of what a command prints.

use std::io::{Error, ErrorKind, Result};

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::runtime::{Builder, Runtime};

/// The most that a command may print, in bytes; 400,000 rules are 31 MB.
pub(crate) const MOST_PRINTED: usize = 256 << 20;

/// The most that it may say on stderr, in bytes.
pub(crate) const MOST_SAID: usize = 1 << 20;

/// Descriptors that a runtime opens: what it waits with, what wakes it, and the pair by which it hears of signals.
#[cfg(unix)]
const NEEDED: usize = 8;

/// A runtime of the thread that asks for it.
///
/// # Errors
///
/// If the operating system gives too few descriptors. tokio ends the program where it cannot make its pair for signals
/// (`tokio::signal::registry`), so that is tried first.
pub(crate) fn runtime() -> Result<Runtime> {
    #[cfg(unix)]
    {
        let pairs = (0..NEEDED / 2).map(|_| std::os::unix::net::UnixStream::pair());
        pairs.collect::<Result<Vec<_>>>()?;
    }
    Builder::new_current_thread().enable_all().build()
}

/// At most `limit` bytes of a stream.
pub(crate) async fn first(stream: Option<impl AsyncRead + Unpin>, limit: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        stream.take(limit as u64).read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

/// A stream to its end; more than `limit` bytes are an error ([`too_much`]).
pub(crate) async fn whole(stream: Option<impl AsyncRead + Unpin>, limit: usize) -> Result<Vec<u8>> {
    let bytes = first(stream, limit + 1).await?;
    if bytes.len() > limit { Err(too_much(limit)) } else { Ok(bytes) }
}

/// The error of a stream that goes on after so many bytes.
pub(crate) fn too_much(limit: usize) -> Error {
    Error::new(ErrorKind::FileTooLarge, format!("it printed more than {} MiB", limit >> 20))
}
