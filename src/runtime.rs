//! The runtime that commands and requests run on.

use std::io::Result;

use tokio::runtime::{Builder, Runtime};

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
