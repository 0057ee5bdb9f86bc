//! An answer as a file. Whoever reads the file sees the answer before or the new one, whole: it is written beside the file and
//! then takes its name. Nothing else in the program writes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::{Answer, Failure, Outcome};
use crate::shell;
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

/// Who may read a file, and whether it may take the place of another.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner {
    /// Permissions of a file that was not there, whatever the umask.
    mode: u32,
    /// The permissions of a file that it takes the place of stay.
    keeps: bool,
    replaces: bool,
    /// What makes stdout of it.
    stdout: &'static str,
}

impl Manner {
    /// An answer for programs of other users: node_exporter runs as somebody else.
    const ANSWER: Self = Self { mode: 0o644, keeps: true, replaces: true, stdout: "leave out --out" };

    /// The permissions that a file gets.
    fn mode_of(self, target: &Path) -> u32 {
        #[cfg(unix)]
        if let (true, Ok(earlier)) = (self.keeps, fs::metadata(target)) {
            return std::os::unix::fs::PermissionsExt::mode(&earlier.permissions()) & 0o777;
        }
        #[cfg(not(unix))]
        let _ = target;
        self.mode
    }

    /// For its owner alone, and only with `force` in the place of another.
    pub(super) fn private(force: bool) -> Self {
        Self { mode: 0o600, keeps: false, replaces: force, stdout: "-" }
    }
}

/// Writes what `content` writes to `path`, whole or not at all, readable by everyone (0644) or by whom an earlier file was.
///
/// # Errors
///
/// What kept it from being written. An earlier file at `path` is then as it was, and nothing else is left behind.
pub(super) fn write(path: &Path, content: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
    write_as(path, Manner::ANSWER, content)
}

/// The same in a given manner.
pub(super) fn write_as(
    path: &Path,
    manner: Manner,
    content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), Failure> {
    free(path, manner)?;
    let target = target(path).map_err(|error| failure(path, path, &error))?;
    // A link may lead to what stands for an open file, by another name.
    if path.is_symlink() && !target.exists() {
        free(&target, manner)?;
    }
    let failed = |error: &io::Error| failure(path, &target, error);
    let beside = Beside::of(&target).map_err(|error| failed(&error))?;
    let mode = manner.mode_of(&target);
    let placed = beside.fill(mode, content).and_then(|()| beside.place(&target, manner));
    placed.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => taken(path),
        // Somebody made a folder there since it was looked at.
        io::ErrorKind::IsADirectory => irregular(path, manner),
        _ => failed(&error),
    })
}

/// Fails if `path` is taken by what may not be replaced, which is better known before the work than after.
pub(super) fn free(path: &Path, manner: Manner) -> Result<(), Failure> {
    // These stand for what is open already, which a file that takes its place is not.
    let stands_for_open = ["/dev", "/proc"].iter().any(|folder| path.starts_with(folder)) || path.as_os_str() == "-";
    match fs::metadata(path) {
        _ if stands_for_open => Err(irregular(path, manner)),
        Ok(found) if !found.is_file() => Err(irregular(path, manner)),
        Ok(_) if !manner.replaces => Err(taken(path)),
        _ => Ok(()),
    }
}

/// The most links that lead from one to the next, as Linux has it.
const LINKS: usize = 40;

/// The file that is written: what a link names, and not the link, also where what it names is not there yet.
fn target(path: &Path) -> io::Result<PathBuf> {
    let mut target = path.to_owned();
    for _ in 0..=LINKS {
        match fs::canonicalize(&target) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            found => return found,
        }
        match fs::read_link(&target) {
            Ok(named) => target = target.with_file_name("").join(named),
            Err(_) => return Ok(target),
        }
    }
    Err(io::Error::other("too many levels of symbolic links"))
}

fn irregular(path: &Path, manner: Manner) -> Failure {
    let what = format!("cannot write {}: it is no regular file", path.display());
    Failure { what, hints: vec![format!("give the name of a file, or {} for stdout", manner.stdout)] }
}

fn taken(path: &Path) -> Failure {
    let what = format!("{} is there already and is not overwritten", path.display());
    Failure { what, hints: vec!["--force to overwrite it, or another name".to_owned()] }
}

/// Bytes of a file's name that the one beside it has: the rest of its own leaves room for them in 255.
const OF_NAME: usize = 200;

/// A file in the folder of another, that goes if it does not take its place.
struct Beside {
    path: PathBuf,
}

impl Beside {
    /// `.NAME.PID.new`: hidden, and no name that node_exporter reads (`*.prom`). One that a killed run left is taken away, for
    /// in a container every run has the same number.
    fn of(target: &Path) -> io::Result<Self> {
        let name = target.file_name().ok_or(io::ErrorKind::InvalidFilename)?.to_string_lossy();
        // The name may be as long as a name can be.
        let name = &name[..name.floor_char_boundary(OF_NAME)];
        let path = target.with_file_name(format!(".{name}.{}.new", std::process::id()));
        let _ = fs::remove_file(&path);
        // Never through a link that somebody else put there.
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(&path)?;
        Ok(Self { path })
    }

    fn fill(&self, mode: u32, content: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
        let mut out = BufWriter::with_capacity(1 << 16, OpenOptions::new().write(true).open(&self.path)?);
        content(&mut out)?;
        let file: File = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        #[cfg(not(unix))]
        let _ = mode;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            file.set_permissions(fs::Permissions::from_mode(mode))?;
        }
        // Some file systems tell only now that they are full.
        file.sync_all()
    }

    /// Takes the name. A link fails where the name was taken meanwhile, which a rename would not.
    fn place(self, target: &Path, manner: Manner) -> io::Result<()> {
        if !manner.replaces {
            match fs::hard_link(&self.path, target) {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(error),
                // Some file systems know no links.
                Err(_) => {}
            }
        }
        fs::rename(&self.path, target)?;
        std::mem::forget(self);
        Ok(())
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Says why `path`, which names `target`, is not written.
fn failure(path: &Path, target: &Path, error: &io::Error) -> Failure {
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (folder, typed) = (folder.display(), folder.display().to_string());
    let typed = shell::operand(&typed);
    let hint = match error.kind() {
        io::ErrorKind::NotFound => Some(format!("mkdir -p {typed}")),
        io::ErrorKind::PermissionDenied => Some(format!("a folder you may write to; this one is {folder}")),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Some(format!("df -h {typed}")),
        _ => None,
    };
    Failure { what: format!("cannot write {}: {}", path.display(), reason(error)), hints: hint.into_iter().collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Else a watch would say twice what is one trouble, by what it happened to meet.
    #[test]
    fn a_folder_put_there_while_it_is_written_is_said_like_one_that_was_there() {
        let room = tempfile::tempdir().expect("a folder");
        let path = room.path().join("kube_ipt.prom");
        let meanwhile = write(&path, |_| fs::create_dir(&path)).expect_err("a folder is no file");
        let before = write(&path, |_| Ok(())).expect_err("a folder is no file");
        assert_eq!(meanwhile.what, format!("cannot write {}: it is no regular file", path.display()));
        assert_eq!((meanwhile.what, meanwhile.hints), (before.what, before.hints));
        assert_eq!(fs::read_dir(room.path()).expect("readable").count(), 1, "nothing else is left");
    }
}
