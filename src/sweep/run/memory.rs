//! The main memory that is available to this process: what the machine has left, or what its
//! control group allows.
//!
//! Batch systems and containers bound a group of processes by a control group (cgroup). A group's
//! limit holds for all groups below it, so every group above this process is asked.

use std::path::{Path, PathBuf};

/// Where control groups are mounted, and the names of a group's files.
struct Hierarchy {
    root: &'static str,
    limit: &'static str,
    used: &'static str,
}

const VERSION_2: Hierarchy = Hierarchy {
    root: "/sys/fs/cgroup",
    limit: "memory.max",
    used: "memory.current",
};

const VERSION_1: Hierarchy = Hierarchy {
    root: "/sys/fs/cgroup/memory",
    limit: "memory.limit_in_bytes",
    used: "memory.usage_in_bytes",
};

/// Returns the available bytes; nothing where the system does not tell.
pub(super) fn available() -> Option<u64> {
    let groups = durable::read_to_string(Path::new("/proc/self/cgroup")).unwrap_or_default();
    let allowed = groups.lines().filter_map(|line| {
        let (hierarchy, group) = group(line)?;
        hierarchy.allowed(Path::new(hierarchy.root), group)
    });
    let left = durable::read_to_string(Path::new("/proc/meminfo")).ok();
    let left = left.and_then(|text| number_of(&text, "MemAvailable:"));
    allowed.chain(left.map(|kilobytes| kilobytes << 10)).min()
}

/// Returns how many processes the system has killed since it started because memory was short; 0 where it
/// does not tell.
pub(super) fn killed_by_the_system() -> u64 {
    let statistics = durable::read_to_string(Path::new("/proc/vmstat")).unwrap_or_default();
    number_of(&statistics, "oom_kill ").unwrap_or(0)
}

/// Returns the hierarchy and the group in a line of `/proc/self/cgroup`, if it bounds memory.
fn group(line: &str) -> Option<(Hierarchy, &str)> {
    let (_, rest) = line.split_once(':')?;
    let (controllers, group) = rest.split_once(':')?;
    if controllers.is_empty() {
        Some((VERSION_2, group))
    } else if controllers.split(',').any(|name| name == "memory") {
        Some((VERSION_1, group))
    } else {
        None
    }
}

impl Hierarchy {
    /// Returns the bytes that a group and the groups above it still allow; nothing if none of them
    /// has a limit.
    fn allowed(&self, root: &Path, group: &str) -> Option<u64> {
        let folder = root.join(group.trim_start_matches('/'));
        let above = folder
            .ancestors()
            .take_while(|above| above.starts_with(root));
        let mut folders: Vec<PathBuf> = above.map(Path::to_owned).collect();
        // In a container, the group's own folder may not be shown.
        folders.push(root.to_owned());
        folders
            .iter()
            .filter_map(|folder| self.left_in(folder))
            .min()
    }

    fn left_in(&self, folder: &Path) -> Option<u64> {
        let number = |name: &str| -> Option<u64> {
            durable::read_to_string(&folder.join(name))
                .ok()?
                .trim()
                .parse()
                .ok()
        };
        // Without a limit, the file holds `max`, or a number beyond any memory.
        let limit = number(self.limit).filter(|&limit| limit < 1 << 60)?;
        let statistics = durable::read_to_string(&folder.join("memory.stat")).unwrap_or_default();
        // Files that are only cached are given up when memory is short.
        let cached = number_of(&statistics, "inactive_file").unwrap_or(0);
        let used = number(self.used).unwrap_or(0).saturating_sub(cached);
        Some(limit.saturating_sub(used))
    }
}

/// Returns the number behind a name, as in `MemAvailable:   123 kB`.
fn number_of(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn write(folder: &Path, files: &[(&str, &str)]) {
        fs::create_dir_all(folder).unwrap();
        for (name, text) in files {
            fs::write(folder.join(name), text).unwrap();
        }
    }

    #[test]
    fn the_tightest_limit_of_all_groups_holds() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        let job = root.join("slurm/job_7");
        write(
            &job,
            &[("memory.max", "max\n"), ("memory.current", "900\n")],
        );
        assert_eq!(VERSION_2.allowed(root, "/slurm/job_7"), None);
        let used = [
            ("memory.max", "1000\n"),
            ("memory.current", "700\n"),
            ("memory.stat", "anon 500\ninactive_file 200\n"),
        ];
        write(&root.join("slurm"), &used);
        assert_eq!(VERSION_2.allowed(root, "/slurm/job_7"), Some(500));
        write(&job, &[("memory.max", "950\n")]);
        assert_eq!(VERSION_2.allowed(root, "/slurm/job_7"), Some(50));
        // A container shows the limit of its group as that of the root.
        write(root, &[("memory.max", "40\n"), ("memory.current", "10\n")]);
        assert_eq!(VERSION_2.allowed(root, "/not/shown/here"), Some(30));
    }

    #[test]
    fn groups_of_both_versions_are_recognized() {
        let root = |line| group(line).map(|(hierarchy, group)| (hierarchy.root, group));
        assert_eq!(root("0::/a/b"), Some((VERSION_2.root, "/a/b")));
        assert_eq!(root("5:cpu,memory:/c"), Some((VERSION_1.root, "/c")));
        assert_eq!(root("3:cpu:/c"), None);
        assert_eq!(root("nothing"), None);
    }

    #[test]
    fn numbers_are_found_by_their_names() {
        let text = "MemTotal:       2000 kB\nMemAvailable:   1500 kB\n";
        assert_eq!(number_of(text, "MemAvailable:"), Some(1500));
        assert_eq!(number_of(text, "SwapFree:"), None);
    }
}
