//! How the process ends where Rust can only abort it, or the kernel would end it.
//!
//! Memory that the operating system refuses (`ulimit -v`) reaches no `Result`: std prints `memory allocation of N bytes failed`
//! and aborts (`std::alloc::handle_alloc_error`). To whoever started us that must be status 2 like every error, not a core dump
//! and a status of its own. A file that may grow no further (`ulimit -f`) is a signal first, and the error of a write only for who
//! catches it (SIGXFSZ, setrlimit(2)): then it is told as a full disk is.

/// Makes an abort end with status 2, and a file that is too large an error. Where that cannot be had, they stay what they are.
#[cfg(unix)]
pub(super) fn ends_with_two() {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    use signal_hook::consts::{SIGABRT, SIGXFSZ};
    use signal_hook::flag::{register, register_conditional_shutdown};

    let always = Arc::new(AtomicBool::new(true));
    let _ = register_conditional_shutdown(SIGABRT, 2, always);
    // Whatever is started has the default again, as after any exec.
    let _ = register(SIGXFSZ, Arc::default());
}

/// Windows has no such signal.
#[cfg(not(unix))]
pub(super) fn ends_with_two() {}
