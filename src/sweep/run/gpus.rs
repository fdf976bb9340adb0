//! The GPUs of the machine, as `CUDA_VISIBLE_DEVICES` shows them to a trainer.
//!
//! CUDA reads the variable as a list of indices, names (`GPU-...`) and names of partitions (`MIG-...`).
//! The list ends before the first entry that is no device: with `0,-1,1` only GPU 0 is visible, and
//! with `-1`, a word or nothing none is. A device that is listed twice makes CUDA show none at all;
//! that is refused here, because nobody can mean it.
//!
//! A GPU that is cut into partitions stands for all of them: each is a GPU of its own, with its name.

use std::{fs, path::Path};

use thiserror::Error;

use super::driver::{Driver, GpuFacts};

/// The beginning of the name of a partition.
const PARTITION: &str = "MIG-";

/// A GPU.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gpu {
    /// Its entry in `CUDA_VISIBLE_DEVICES`.
    pub visible: String,
    /// Its model; empty if it is unknown.
    pub model: String,
    /// Bytes of its memory, if they are known.
    pub memory: Option<u64>,
    /// True if it takes one process at a time.
    pub is_exclusive: bool,
    /// True if it is a partition of a GPU.
    pub is_partition: bool,
    /// The cores near it; none if they are unknown.
    pub near: Vec<usize>,
}

impl Gpu {
    /// Creates a GPU with a known name or index and nothing else.
    fn new(visible: impl Into<String>) -> Gpu {
        let visible = visible.into();
        Gpu {
            is_partition: visible.starts_with(PARTITION),
            visible,
            ..Gpu::default()
        }
    }
}

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
#[derive(Debug, Default)]
struct Installed {
    count: usize,
    /// Their names (`GPU-...`), as far as they are known.
    names: Vec<String>,
    /// What the driver says of them.
    facts: Vec<GpuFacts>,
    driver: Option<Driver>,
}

impl From<&GpuFacts> for Gpu {
    fn from(facts: &GpuFacts) -> Gpu {
        Gpu {
            visible: facts.uuid.clone(),
            model: facts.model.clone(),
            memory: facts.memory,
            is_exclusive: facts.is_exclusive,
            is_partition: facts.is_partition,
            near: facts.near.clone(),
        }
    }
}

impl GpuList {
    /// Looks for GPUs; `visible` is `CUDA_VISIBLE_DEVICES`, if it is set.
    pub(super) fn survey(visible: Option<&str>) -> GpuList {
        GpuList::visible(visible, &Installed::survey())
    }

    /// Creates a list of GPUs by their indices.
    #[cfg(test)]
    pub(super) fn indices(count: usize) -> GpuList {
        let installed = Installed {
            count,
            ..Installed::default()
        };
        GpuList::visible(None, &installed)
    }

    /// Makes a GPU take one process at a time.
    #[cfg(test)]
    pub(super) fn set_exclusive(&mut self, gpu: usize) {
        self.gpus[gpu].is_exclusive = true;
    }

    /// Makes a GPU a partition of one.
    #[cfg(test)]
    pub(super) fn set_partition(&mut self, gpu: usize) {
        self.gpus[gpu].is_partition = true;
    }

    fn visible(visible: Option<&str>, installed: &Installed) -> GpuList {
        let Some(list) = visible.filter(|_| installed.count > 0) else {
            let gpus = (0..installed.count).flat_map(|index| installed.at(index));
            return GpuList {
                gpus: gpus.collect(),
                twice: None,
            };
        };
        let mut gpus: Vec<Gpu> = Vec::new();
        let entries = list.split(',').map_while(|entry| installed.find(entry));
        for gpu in entries.flatten() {
            if gpus.contains(&gpu) {
                let twice = Some(NamedTwice { gpu: gpu.visible });
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
    /// Asks the driver, and without one the system.
    fn survey() -> Installed {
        let driver = Driver::open();
        let facts = driver.as_ref().map_or_else(Vec::new, Driver::gpus);
        if facts.is_empty() {
            return Installed::of_system();
        }
        Installed {
            count: facts.len(),
            names: facts.iter().map(|gpu| gpu.uuid.clone()).collect(),
            facts,
            driver,
        }
    }

    fn of_system() -> Installed {
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
            ..Installed::default()
        }
    }

    /// Returns the GPU of this index, by its name if that is known, or its partitions.
    fn at(&self, index: usize) -> Vec<Gpu> {
        match self.facts.get(index) {
            Some(facts) => usable(facts),
            None => vec![Gpu::new(index.to_string())],
        }
    }

    /// Returns a GPU or a partition by its whole name, or the partitions of a GPU.
    fn with_facts(&self, name: &str) -> Vec<Gpu> {
        let facts = self.driver.as_ref().and_then(|driver| driver.named(name));
        facts.map_or_else(|| vec![Gpu::new(name)], |facts| usable(&facts))
    }

    /// Returns the GPUs of an entry of `CUDA_VISIBLE_DEVICES`; `None` if it is no device.
    fn find(&self, entry: &str) -> Option<Vec<Gpu>> {
        let entry = entry.trim();
        if entry.starts_with(PARTITION) {
            return Some(self.with_facts(entry));
        }
        if entry.starts_with("GPU-") {
            return self.named(entry);
        }
        let index = leading_number(entry)?;
        (index < self.count).then(|| self.at(index))
    }

    /// Returns the GPU whose name begins like this, if there is only one. Without all names from the
    /// driver, any name is believed.
    fn named(&self, beginning: &str) -> Option<Vec<Gpu>> {
        if self.names.len() < self.count {
            return Some(vec![Gpu::new(beginning)]);
        }
        let mut matching = self.names.iter().filter(|name| name.starts_with(beginning));
        match (matching.next(), matching.next()) {
            (Some(name), None) => Some(self.with_facts(name)),
            _ => None,
        }
    }
}

/// Returns a GPU, or its partitions if only these can be used.
fn usable(facts: &GpuFacts) -> Vec<Gpu> {
    match facts.is_partitioned {
        true => facts.partitions.iter().map(Gpu::from).collect(),
        false => vec![Gpu::from(facts)],
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
            ..Installed::default()
        };
        let list = GpuList::visible(Some(list), &installed);
        let gpus = list
            .checked()
            .unwrap()
            .iter()
            .map(|gpu| gpu.visible.as_str());
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
            ..Installed::default()
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
    fn a_gpu_that_is_cut_into_partitions_stands_for_them() {
        let named = |uuid: &str| GpuFacts {
            uuid: uuid.to_owned(),
            ..GpuFacts::default()
        };
        let cut = |uuid: &str, partitions: &[&str]| GpuFacts {
            is_partitioned: true,
            partitions: partitions.iter().map(|uuid| named(uuid)).collect(),
            ..named(uuid)
        };
        let facts = vec![
            cut("GPU-a", &["MIG-1", "MIG-2"]),
            named("GPU-b"),
            cut("GPU-c", &[]),
        ];
        let installed = Installed {
            count: facts.len(),
            names: facts.iter().map(|gpu| gpu.uuid.clone()).collect(),
            facts,
            driver: None,
        };
        for (list, expected) in [
            (None, "MIG-1,MIG-2,GPU-b"),
            (Some("1,0"), "GPU-b,MIG-1,MIG-2"),
            (Some("2,1"), "GPU-b"),
            (Some("MIG-2,1"), "MIG-2,GPU-b"),
        ] {
            let list = GpuList::visible(list, &installed);
            let gpus = list.checked().unwrap().iter();
            let names: Vec<&str> = gpus.map(|gpu| gpu.visible.as_str()).collect();
            assert_eq!(names.join(","), expected);
        }
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
