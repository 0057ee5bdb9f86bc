//! How the process ends where Rust can only abort it.
//!
//! Memory that the operating system refuses (`ulimit -v`) reaches no `Result`: std prints `memory allocation of N bytes failed`
//! and aborts (`std::alloc::handle_alloc_error`). To whoever started us that must be status 2 like every error, not a core dump
//! and a status of its own.

/// Makes an abort end with status 2. Where that cannot be had, an abort stays what it is.
#[cfg(unix)]
pub(super) fn ends_with_two() {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    use signal_hook::consts::SIGABRT;
    use signal_hook::flag::register_conditional_shutdown;

    let always = Arc::new(AtomicBool::new(true));
    let _ = register_conditional_shutdown(SIGABRT, 2, always);
}

/// Windows has no such signal.
#[cfg(not(unix))]
pub(super) fn ends_with_two() {}
