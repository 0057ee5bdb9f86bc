//! The files in and below a directory, as members of a collection.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::SourceError;
use super::archive::{Collection, Collector, Matters, Trouble};
use super::file::reason;
use super::member::told;

/// Directories below the one that was named.
const DEPTH: usize = 8;

/// Reads the files in and below `path` that matter.
pub(super) fn folder(path: &Path, label: String, matters: Matters<'_>) -> Result<Collection, SourceError> {
    let mut collector = Collector::new(label, matters);
    let mut open: Vec<(PathBuf, String, usize)> = vec![(path.to_owned(), String::new(), 0)];
    while let Some((folder, within, depth)) = open.pop() {
        let failed = |error: &std::io::Error| {
            SourceError::new(format!("cannot read {}: {}", folder.display(), reason(error)), None)
        };
        for entry in fs::read_dir(&folder).map_err(|e| failed(&e))? {
            let entry = entry.map_err(|e| failed(&e))?;
            let kind = entry.file_type().map_err(|e| failed(&e))?;
            let name = format!("{within}{}", told(entry.file_name().as_encoded_bytes()));
            collector.count()?;
            if kind.is_dir() && depth < DEPTH {
                open.push((entry.path(), name + "/", depth + 1));
            } else if kind.is_file() {
                let taken =
                    File::open(entry.path()).map_err(Trouble::Broken).and_then(|mut f| collector.take(&name, &mut f));
                match taken {
                    Ok(()) => {}
                    Err(Trouble::Broken(error)) => collector.broken(&name, &reason(&error)),
                    Err(Trouble::Stop(error)) => return Err(error),
                }
            } else {
                collector.odd += 1;
            }
        }
    }
    Ok(collector.done())
}
