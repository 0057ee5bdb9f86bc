//! An answer as a file. Whoever reads the file sees the answer before or the new one, whole: it is written beside the file and
//! then takes its name. Nothing else in the program writes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::{Answer, Failure, Outcome};
use crate::source::reason;

/// Writes the answer of `outcome` to `path`, so that stdout stays empty. Without an answer an earlier file stays.
pub(super) fn deliver(path: &Path, outcome: &mut Outcome) -> Result<(), Failure> {
    if outcome.answer.is_empty() {
        return Ok(());
    }
    write(path, |out| outcome.answer.write_plain(out))?;
    outcome.answer = Answer::default();
    Ok(())
}

/// Writes what `content` writes to `path`, whole or not at all, readable by everyone (0644).
///
/// # Errors
///
/// What kept it from being written. An earlier file at `path` is then as it was, and nothing else is left behind.
pub(super) fn write(path: &Path, content: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
    let failed = |error: &io::Error| failure(path, error);
    // What a link names is written, and not the link.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if fs::metadata(&target).is_ok_and(|found| !found.is_file()) {
        let what = format!("cannot write {}: it is no regular file", path.display());
        return Err(Failure { what, hints: vec!["give the name of a file, or leave out --out for stdout".to_owned()] });
    }
    let beside = Beside::of(&target).map_err(|error| failed(&error))?;
    beside.fill(content).and_then(|()| fs::rename(&beside.path, &target)).map_err(|error| failed(&error))?;
    std::mem::forget(beside);
    Ok(())
}

/// A file in the folder of another, that goes if it does not take its place.
struct Beside {
    path: PathBuf,
}

impl Beside {
    /// `.NAME.PID.new`: hidden, and no name that node_exporter reads (`*.prom`). One that a killed run left is taken away, for
    /// in a container every run has the same number.
    fn of(target: &Path) -> io::Result<Self> {
        let name = target.file_name().ok_or(io::ErrorKind::InvalidFilename)?;
        let path = target.with_file_name(format!(".{}.{}.new", name.to_string_lossy(), std::process::id()));
        let _ = fs::remove_file(&path);
        // Never through a link that somebody else put there.
        OpenOptions::new().write(true).create_new(true).open(&path)?;
        Ok(Self { path })
    }

    fn fill(&self, content: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
        let mut out = BufWriter::with_capacity(1 << 16, OpenOptions::new().write(true).open(&self.path)?);
        content(&mut out)?;
        let file: File = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            // Whatever the umask: node_exporter runs as somebody else.
            file.set_permissions(fs::Permissions::from_mode(0o644))?;
        }
        // Some file systems tell only now that they are full.
        file.sync_all()
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn failure(path: &Path, error: &io::Error) -> Failure {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = folder.display();
    let hint = match error.kind() {
        io::ErrorKind::NotFound => Some(format!("mkdir -p {folder}")),
        io::ErrorKind::PermissionDenied => Some(format!("a folder you may write to; this one is {folder}")),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Some(format!("df -h {folder}")),
        _ => None,
    };
    Failure { what: format!("cannot write {}: {}", path.display(), reason(error)), hints: hint.into_iter().collect() }
}
