//! The names of files as the user knows them, while they lie in a folder of the program.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
};

/// What was given, and where it was put.
#[derive(Debug, Default)]
pub(super) struct Given {
    /// The folder into which everything was put. Absent: files were left in place.
    into: Option<PathBuf>,
    /// The folders and files that were linked to or copied, by their names in that folder.
    taken: BTreeMap<OsString, PathBuf>,
    /// The archives that were unpacked into it.
    archives: Vec<PathBuf>,
}

impl Given {
    /// Begins with nothing in this folder.
    pub(super) fn put_into(folder: &Path) -> Given {
        Given {
            into: Some(folder.to_owned()),
            ..Given::default()
        }
    }

    /// Adds a folder or file that was put there under this name.
    pub(super) fn take(&mut self, name: OsString, path: &Path) {
        self.taken.insert(name, path.to_owned());
    }

    /// Adds an archive that was unpacked there.
    pub(super) fn unpack(&mut self, archive: &Path) {
        self.archives.push(archive.to_owned());
    }

    /// Returns the path under which the user knows a file or folder.
    pub(super) fn name(&self, path: &Path) -> PathBuf {
        let below = self
            .into
            .as_ref()
            .and_then(|into| path.strip_prefix(into).ok());
        let Some(below) = below else {
            return path.to_owned();
        };
        let mut parts = below.components();
        let Some(first) = parts.next() else {
            return self.all();
        };
        if let Some(taken) = self.taken.get(first.as_os_str()) {
            return joined(taken, parts.as_path());
        }
        match self.archives.as_slice() {
            [archive] => archive.join(below),
            _ => below.to_owned(),
        }
    }

    /// Everything that was given.
    fn all(&self) -> PathBuf {
        let all = self.archives.iter().chain(self.taken.values());
        let all: Vec<String> = all.map(|path| path.display().to_string()).collect();
        all.join("`, `").into()
    }
}

/// Returns a path below another one, without a trailing `/` if it is that one itself.
pub(super) fn joined(path: &Path, below: &Path) -> PathBuf {
    if below.as_os_str().is_empty() {
        path.to_owned()
    } else {
        path.join(below)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_by_what_was_given() {
        let mut given = Given::put_into(Path::new("/data/.birds.incomplete/files"));
        let named = |given: &Given, path: &str| {
            given.name(&Path::new("/data/.birds.incomplete/files").join(path))
        };
        given.take("birds".into(), Path::new("/home/me/birds"));
        assert_eq!(
            named(&given, "birds/a/1.jpg"),
            Path::new("/home/me/birds/a/1.jpg")
        );
        assert_eq!(named(&given, ""), Path::new("/home/me/birds"));
        given.unpack(Path::new("/tmp/more.zip"));
        assert_eq!(
            named(&given, "more/1.jpg"),
            Path::new("/tmp/more.zip/more/1.jpg")
        );
        assert_eq!(
            named(&given, "").display().to_string(),
            "/tmp/more.zip`, `/home/me/birds"
        );
        assert_eq!(
            given.name(Path::new("/else/1.jpg")),
            Path::new("/else/1.jpg")
        );
        given.unpack(Path::new("/tmp/other.zip"));
        assert_eq!(named(&given, "more/1.jpg"), Path::new("more/1.jpg"));
    }
}
