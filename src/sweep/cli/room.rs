//! Room on disks: how much there is, and sizes in words.

use std::path::Path;

use schema::bytes_in_words;

/// Returns the free bytes on the disk of a folder, which need not exist yet.
pub(super) fn free_bytes(folder: &Path) -> Option<f64> {
    // A relative path that does not exist yet will be below the current folder.
    let there = folder.ancestors().map(|above| {
        if above == Path::new("") {
            Path::new(".")
        } else {
            above
        }
    });
    let disk = rustix::fs::statvfs(there.into_iter().find(|above| above.exists())?).ok()?;
    Some(disk.f_bavail as f64 * disk.f_frsize as f64)
}

/// Says that a disk has less room than is needed; `None` if it has enough, as far as that is known.
pub(super) fn shortage(folder: &Path, needed: u64) -> Option<String> {
    let (free, needed) = (free_bytes(folder)?, needed as f64);
    (needed > free).then(|| {
        format!(
            "the sweep writes about {} to `{}`, where {} are free; make room (`sweep gc` says where), or choose another \
             folder with --results",
            size(needed),
            folder.display(),
            size(free)
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
