//! Saved Kubernetes objects: files, directories, standard input; plain or gzip.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::SourceError;
use super::file::{decoded, reason};
use super::unpack::{MOST, gunzip, is_gzip};
use crate::order::Order as _;

/// Directories below the one that was named; `kubectl cluster-info dump` writes two.
const DEPTH: usize = 8;

/// Ends of the names of files in a directory that hold objects.
const ENDS: [&str; 5] = [".json", ".jsonl", ".ndjson", ".yaml", ".yml"];

/// A text of objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectText {
    /// File name or `stdin`.
    pub label: String,
    /// The text.
    pub text: String,
    /// What a snapshot says they cover, in the form of whoever wrote it; the texts themselves do not tell all of it.
    pub covers: Option<serde_json::Value>,
}

/// What is in a directory of objects.
#[derive(Debug, Default)]
pub struct ObjectFiles {
    /// The files of objects.
    pub files: Vec<PathBuf>,
    /// How many files there are of other names.
    pub others: usize,
    /// How many are called like files of objects and are none: pipes, devices, links to directories.
    pub odd: usize,
}

/// The files that `path` names: itself, or every JSON and YAML file in and below the directory.
pub fn object_files(path: &Path) -> Result<ObjectFiles, SourceError> {
    let mut found = ObjectFiles::default();
    if !path.is_dir() {
        found.files.push(path.to_owned());
        return Ok(found);
    }
    let mut open = vec![(path.to_owned(), 0)];
    while let Some((folder, depth)) = open.pop() {
        let failed = |error: &std::io::Error| {
            SourceError::new(format!("cannot read {}: {}", folder.display(), reason(error)), None)
        };
        for entry in fs::read_dir(&folder).map_err(|e| failed(&e))? {
            let entry = entry.map_err(|e| failed(&e))?;
            let (path, kind) = (entry.path(), entry.file_type().map_err(|e| failed(&e))?);
            let name = entry.file_name().to_string_lossy().to_lowercase();
            let holds_objects = ENDS.iter().any(|end| name.trim_end_matches(".gz").ends_with(end));
            // Links to files are followed, as those of a mounted ConfigMap; what a link names that leads nowhere is told when it
            // is read. Links to directories are not: they may lead round in a circle. A pipe would be waited for.
            let is_file = || fs::metadata(&path).map_or(true, |about| about.is_file());
            match (kind.is_dir(), holds_objects) {
                (true, _) if depth < DEPTH => open.push((path, depth + 1)),
                (false, true) if is_file() => found.files.push(path),
                (false, true) => found.odd += 1,
                _ => found.others += 1,
            }
        }
    }
    found.files.order();
    Ok(found)
}

/// Reads a text of objects. `-` is standard input. The second value is a note about the reading.
pub fn object_text(path: &Path) -> Result<(ObjectText, Option<String>), SourceError> {
    let stdin = path.as_os_str() == "-";
    let label = if stdin { "stdin".to_owned() } else { path.display().to_string() };
    let failed = |error: &std::io::Error| SourceError::new(format!("cannot read {label}: {}", reason(error)), None);
    let mut bytes = Vec::new();
    let read = if stdin {
        std::io::stdin().lock().take(MOST + 1).read_to_end(&mut bytes)
    } else {
        fs::File::open(path).and_then(|file| {
            // One piece of memory, not a series that doubles. Where it cannot be had, that is an error and no end of the program.
            let length = file.metadata().map_or(0, |metadata| metadata.len().min(MOST) + 1);
            let length = usize::try_from(length).unwrap_or_default();
            bytes.try_reserve_exact(length).map_err(|_| std::io::ErrorKind::OutOfMemory)?;
            file.take(MOST + 1).read_to_end(&mut bytes)
        })
    };
    read.map_err(|e| failed(&e))?;
    if is_gzip(&bytes) {
        bytes = gunzip(&label, &bytes)?;
    }
    if bytes.len() as u64 > MOST {
        let what = format!("{label} holds more than {} MiB, the most this program reads of objects", MOST >> 20);
        return Err(SourceError::new(what, ["give the objects of one namespace, or leave Pods out"]));
    }
    let (text, note) = decoded(&label, bytes);
    Ok((ObjectText { label, text, covers: None }, note))
}
