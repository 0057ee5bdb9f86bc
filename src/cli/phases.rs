//! Where the time of a run goes, which `-vv` tells.
//!
//! A run is one process and its phases follow each other, so that what was measured is kept for the process as a whole
//! and no command has to hand it on.

use std::sync::Mutex;
use std::time::{Duration, Instant};

/// When the run began, and how long each phase took; `None` where nobody wants to know.
static RUN: Mutex<Option<Run>> = Mutex::new(None);

struct Run {
    began: Instant,
    phases: Vec<(&'static str, Duration)>,
}

/// Begins to measure.
pub(super) fn measure() {
    if let Ok(mut run) = RUN.lock() {
        *run = Some(Run { began: Instant::now(), phases: Vec::new() });
    }
}

/// Does `work`, which is a phase of the run.
pub(super) fn phase<T>(name: &'static str, work: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let done = work();
    if let Ok(mut run) = RUN.lock()
        && let Some(run) = run.as_mut()
    {
        // A watch goes through the same phases again and again.
        match run.phases.iter_mut().find(|(known, _)| *known == name) {
            Some((_, before)) => *before += began.elapsed(),
            None => run.phases.push((name, began.elapsed())),
        }
    }
    done
}

/// What was measured; `None` if nothing was.
pub(super) fn told() -> Option<String> {
    let run = RUN.lock().ok()?.take()?;
    let shown = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1e3);
    let all = run.began.elapsed();
    let phases = run.phases.iter().map(|(name, time)| format!("{name} {}", shown(*time)));
    let memory =
        most_memory().map_or_else(String::new, |bytes| format!(", {} MB of memory at most", bytes / 1_000_000));
    Some(format!("time: {}; in all {}{memory}", phases.collect::<Vec<_>>().join(", "), shown(all)))
}

/// The most memory the process has had so far, in bytes, where the system tells (proc(5), `VmHWM`).
fn most_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? * 1024)
}
