//! Signals of the operating system, for a command that goes on until it is told to end.

use std::future::poll_fn;
use std::task::Poll;

use super::SourceError;
use crate::runtime::runtime;

/// What a signal means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Ctrl-C, or whoever started us wants us to end.
    End,
    /// The terminal has another size.
    Resized,
}

/// Exit status of a program that a second Ctrl-C ended: 128 and the number of SIGINT.
const IMPATIENT: i32 = 130;

/// Hears signals from now on; each is given to `tell`, on another thread. A second wish to end ends the process at once: it
/// may be writing to a pipe that nobody reads.
pub fn signals(mut tell: impl FnMut(Signal) + Send + 'static) -> Result<(), SourceError> {
    let failed = |error: std::io::Error| SourceError::new(format!("cannot hear signals: {error}"), None);
    let runtime = runtime().map_err(failed)?;
    let guard = runtime.enter();
    let mut heard = all().map_err(failed)?;
    drop(guard);
    let listening = std::thread::Builder::new().spawn(move || {
        let mut ending = false;
        loop {
            let signal = runtime.block_on(poll_fn(|context| {
                heard
                    .iter_mut()
                    .find_map(|(signal, means)| signal.poll_recv(context).is_ready().then_some(*means))
                    .map_or(Poll::Pending, Poll::Ready)
            }));
            if signal == Signal::End && std::mem::replace(&mut ending, true) {
                std::process::exit(IMPATIENT);
            }
            tell(signal);
        }
    });
    listening.map(|_| ()).map_err(failed)
}

#[cfg(unix)]
fn all() -> std::io::Result<Vec<(tokio::signal::unix::Signal, Signal)>> {
    use tokio::signal::unix::{SignalKind, signal};
    let kinds = [
        (SignalKind::interrupt(), Signal::End),
        (SignalKind::terminate(), Signal::End),
        (SignalKind::hangup(), Signal::End),
        (SignalKind::window_change(), Signal::Resized),
    ];
    kinds.into_iter().map(|(kind, means)| Ok((signal(kind)?, means))).collect()
}

#[cfg(windows)]
fn all() -> std::io::Result<Vec<(tokio::signal::windows::CtrlC, Signal)>> {
    Ok(vec![(tokio::signal::windows::ctrl_c()?, Signal::End)])
}
