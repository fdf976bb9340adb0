//! The GPUs of the machine, as `CUDA_VISIBLE_DEVICES` shows them to a trainer.
//!
//! CUDA reads the variable as a list of indices, names (`GPU-...`) and names of partitions (`MIG-...`).
//! The list ends before the first entry that is no device: with `0,-1,1` only GPU 0 is visible, and
//! with `-1`, a word or nothing none is. A device that is listed twice makes CUDA show none at all;
//! that is refused here, because nobody can mean it.

use std::{fs, path::Path};

use thiserror::Error;

/// A GPU, by its entry in `CUDA_VISIBLE_DEVICES`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gpu(pub String);

/// The visible GPUs.
#[derive(Clone, Debug, Default)]
pub struct GpuList {
    gpus: Vec<Gpu>,
    twice: Option<NamedTwice>,
}

/// `CUDA_VISIBLE_DEVICES` names a GPU twice.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "CUDA_VISIBLE_DEVICES names GPU {gpu} twice, and CUDA then shows no GPU at all; name each GPU once"
)]
pub struct NamedTwice {
    gpu: String,
}

/// The GPUs that are built in.
#[derive(Clone, Debug, Default)]
struct Installed {
    count: usize,
    /// Their names (`GPU-...`), as far as the driver tells them.
    names: Vec<String>,
}

impl GpuList {
    /// Looks for GPUs without loading any driver; `visible` is `CUDA_VISIBLE_DEVICES`, if it is set.
    pub(super) fn survey(visible: Option<&str>) -> GpuList {
        GpuList::visible(visible, &Installed::survey())
    }

    /// Creates a list of GPUs by their indices.
    #[cfg(test)]
    pub(super) fn indices(count: usize) -> GpuList {
        let names = Vec::new();
        GpuList::visible(None, &Installed { count, names })
    }

    fn visible(visible: Option<&str>, installed: &Installed) -> GpuList {
        let Some(list) = visible.filter(|_| installed.count > 0) else {
            let gpus = (0..installed.count).map(|index| Gpu(index.to_string()));
            return GpuList {
                gpus: gpus.collect(),
                twice: None,
            };
        };
        let mut gpus: Vec<Gpu> = Vec::new();
        for gpu in list.split(',').map_while(|entry| installed.find(entry)) {
            if gpus.contains(&gpu) {
                let twice = Some(NamedTwice { gpu: gpu.0 });
                return GpuList { gpus, twice };
            }
            gpus.push(gpu);
        }
        GpuList { gpus, twice: None }
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.gpus.is_empty()
    }

    /// Returns the GPUs.
    ///
    /// # Errors
    /// One is listed twice.
    pub fn checked(&self) -> Result<&[Gpu], NamedTwice> {
        match &self.twice {
            Some(twice) => Err(twice.clone()),
            None => Ok(&self.gpus),
        }
    }
}

impl Installed {
    fn survey() -> Installed {
        let folders = entries("/proc/driver/nvidia/gpus");
        let names = folders.iter().filter_map(|folder| {
            let path = format!("/proc/driver/nvidia/gpus/{folder}/information");
            name_in(&durable::read_to_string(Path::new(&path)).ok()?)
        });
        // Containers may have the devices without the driver's folder.
        let devices = entries("/dev").iter().filter(|name| is_gpu(name)).count();
        Installed {
            count: folders.len().max(devices),
            names: names.collect(),
        }
    }

    /// Returns the GPU of an entry of `CUDA_VISIBLE_DEVICES`; `None` if it is no device.
    fn find(&self, entry: &str) -> Option<Gpu> {
        let entry = entry.trim();
        if entry.starts_with("MIG-") {
            return Some(Gpu(entry.to_owned()));
        }
        if entry.starts_with("GPU-") {
            return self.named(entry);
        }
        let index = leading_number(entry)?;
        (index < self.count).then(|| Gpu(index.to_string()))
    }

    /// Returns the GPU whose name begins like this, if there is only one. Without all names from the
    /// driver, any name is believed.
    fn named(&self, beginning: &str) -> Option<Gpu> {
        if self.names.len() < self.count {
            return Some(Gpu(beginning.to_owned()));
        }
        let mut matching = self.names.iter().filter(|name| name.starts_with(beginning));
        match (matching.next(), matching.next()) {
            (Some(name), None) => Some(Gpu(name.clone())),
            _ => None,
        }
    }
}

/// Returns the number that a text begins with, as CUDA reads it: `1` for `+1` and `1x`, none for `-1`.
fn leading_number(text: &str) -> Option<usize> {
    let text = text.strip_prefix('+').unwrap_or(text);
    let end = text.find(|c: char| !c.is_ascii_digit());
    text[..end.unwrap_or(text.len())].parse().ok()
}

/// Returns the name of a GPU in the driver's description of it.
fn name_in(information: &str) -> Option<String> {
    let lines = information.lines().filter_map(|line| line.split_once(':'));
    let mut names = lines.filter(|(key, _)| key.trim() == "GPU UUID");
    let (_, name) = names.next()?;
    // A driver that has not initialized a GPU fills its name with question marks.
    (!name.contains('?')).then(|| name.trim().to_owned())
}

/// Returns the names of the entries of a folder; none if there is no such folder.
fn entries(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}

/// True for `nvidia0`, but not for `nvidiactl`.
fn is_gpu(name: &str) -> bool {
    name.strip_prefix("nvidia")
        .is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns what is visible of four GPUs, by commas.
    fn visible(list: &str) -> String {
        let names = ["GPU-0a10", "GPU-0a1f", "GPU-77aa", "GPU-c000"].map(str::to_owned);
        let installed = Installed {
            count: 4,
            names: names.to_vec(),
        };
        let list = GpuList::visible(Some(list), &installed);
        let gpus = list.checked().unwrap().iter().map(|gpu| gpu.0.as_str());
        gpus.collect::<Vec<_>>().join(",")
    }

    #[test]
    fn a_list_ends_before_the_first_entry_that_is_no_device() {
        for (list, expected) in [
            ("2,0", "2,0"),
            (" 1 , 3 ", "1,3"),
            ("+2,1x", "2,1"),
            ("0,-1,1", "0"),
            ("3,4,0", "3"),
            ("1,,2", "1"),
            ("1,two,3", "1"),
            ("99999999999999999999,0", ""),
            ("-1", ""),
            ("NoDevFiles", ""),
            ("", ""),
        ] {
            assert_eq!(visible(list), expected, "{list:?}");
        }
    }

    #[test]
    fn gpus_are_found_by_the_beginnings_of_their_names() {
        for (list, expected) in [
            ("GPU-77", "GPU-77aa"),
            ("GPU-0a1f,GPU-c", "GPU-0a1f,GPU-c000"),
            ("GPU-77,GPU-0a1,GPU-c", "GPU-77aa"),
            ("GPU-dead", ""),
            ("MIG-1,MIG-GPU-77aa/1/0", "MIG-1,MIG-GPU-77aa/1/0"),
        ] {
            assert_eq!(visible(list), expected, "{list:?}");
        }
    }

    #[test]
    fn a_gpu_that_is_named_twice_is_an_error() {
        let installed = Installed {
            count: 2,
            names: vec!["GPU-ab".to_owned(), "GPU-cd".to_owned()],
        };
        for list in ["0,0", "1,0,+1", "GPU-a,GPU-ab", "MIG-1,MIG-1"] {
            let list = GpuList::visible(Some(list), &installed);
            assert!(list.checked().is_err() && !list.is_empty(), "{list:?}");
        }
        // What comes after the end of the list is not read.
        assert!(
            GpuList::visible(Some("0,-1,0"), &installed)
                .checked()
                .is_ok()
        );
    }

    #[test]
    fn without_a_gpu_nothing_is_visible_whatever_the_list_says() {
        let none = Installed::default();
        assert!(
            GpuList::visible(Some("0,0"), &none)
                .checked()
                .unwrap()
                .is_empty()
        );
        assert!(GpuList::visible(None, &none).is_empty());
    }

    #[test]
    fn names_are_read_from_the_description_of_the_driver() {
        let information = "Model: \t\t NVIDIA H100\nGPU UUID: \t GPU-12ab-34\nDevice Minor: \t 0\n";
        assert_eq!(name_in(information).as_deref(), Some("GPU-12ab-34"));
        assert_eq!(name_in("Model: x\n"), None);
        assert_eq!(name_in("GPU UUID: GPU-????-??\n"), None);
    }

    #[test]
    fn devices_of_gpus_are_told_from_those_of_their_driver() {
        assert!(is_gpu("nvidia0") && is_gpu("nvidia12"));
        let others = ["nvidiactl", "nvidia-uvm", "nvidia", "null"];
        assert!(!others.into_iter().any(is_gpu));
    }
}
