//! Room on disks and in main memory: how much there is, and sizes in words.

use std::path::Path;

use schema::bytes_in_words;

use crate::{config::Resources, run::slots::Machine};

/// Returns the free bytes on the disk of a folder, which need not exist yet.
pub(super) fn free_bytes(folder: &Path) -> Option<f64> {
    let disk = rustix::fs::statvfs(nearest_existing(folder)?).ok()?;
    Some(disk.f_bavail as f64 * disk.f_frsize as f64)
}

/// Returns the folder, or the nearest above it that exists.
pub(super) fn nearest_existing(folder: &Path) -> Option<&Path> {
    // A relative path that does not exist yet will be below the current folder.
    let mut there = folder.ancestors().map(|above| {
        if above == Path::new("") {
            Path::new(".")
        } else {
            above
        }
    });
    there.find(|above| above.exists())
}

/// What to do about a disk without room.
pub(super) const MAKE_ROOM: &str = "make room (`sweep gc` says where)";

/// Says that a disk has less room than is needed; `None` if it has enough, as far as that is known.
pub(super) fn shortage(folder: &Path, needed: u64) -> Option<String> {
    let (free, needed) = (free_bytes(folder)?, needed as f64);
    (needed > free).then(|| {
        format!(
            "the sweep writes about {} to `{}`, where {} are free; {MAKE_ROOM}, or choose another \
             folder with --results",
            size(needed),
            folder.display(),
            size(free)
        )
    })
}

/// Says that a run needs more main memory than there is; `None` if not, as far as that is known.
pub(super) fn shortage_of_memory(machine: &Machine, resources: &Resources) -> Option<String> {
    let needed = resources.needs.ram?.bytes();
    let is_short = machine.room(needed) == Some(0);
    is_short.then(|| {
        format!(
            "a run needs {} of main memory (`resources.needs`), but only {} are available: one runs at a time",
            size(needed as f64),
            size(machine.memory.unwrap_or(0) as f64)
        )
    })
}

/// Returns a number of bytes as people say it: `1.5 GB`.
pub(super) fn size(bytes: f64) -> String {
    bytes_in_words(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_is_too_small_is_told_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let not_yet = folder.path().join("results");
        assert_eq!(shortage(&not_yet, 1000), None);
        let told = shortage(&not_yet, 1 << 60).unwrap();
        assert!(told.starts_with("the sweep writes about "), "{told}");
        assert!(
            told.contains("sweep gc") && told.contains("--results"),
            "{told}"
        );
    }
}
