//! Cores for slots: the attempts in different slots do not take each other's caches and turns.
//!
//! A core is what the system schedules a thread on. Siblings, which share a physical core, belong to one GPU. The cores
//! near a GPU are those of its NUMA node: they reach it, and the memory that it reads, without a detour through another
//! processor. Each GPU has as many cores as any other, near ones as far as there are enough.

use std::path::Path;

use rustix::{
    process::Pid,
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
};

/// Where the system tells of its devices and cores.
const SYSTEM: &str = "/sys";

/// Returns the cores that this process may use; none if the system does not tell.
pub(super) fn allowed() -> Vec<usize> {
    match sched_getaffinity(None) {
        Ok(set) => (0..CpuSet::MAX_CPU)
            .filter(|&core| set.is_set(core))
            .collect(),
        Err(_) => Vec::new(),
    }
}

/// Confines a process that has just started, and the threads that it will start, to some cores.
pub(super) fn confine(process: Pid, cores: &[usize]) {
    let mut set = CpuSet::new();
    cores.iter().for_each(|&core| set.set(core));
    // An error means that the process has ended already, or that the system has no such thing; then it runs
    // on all cores.
    let _ = sched_setaffinity(Some(process), &set);
}

/// Returns the cores near the device at a PCI address, as NVML writes it: `00000000:3B:00.0`. None if the system does
/// not tell.
pub(super) fn near(address: &str) -> Vec<usize> {
    near_by(Path::new(SYSTEM), address)
}

fn near_by(system: &Path, address: &str) -> Vec<usize> {
    let device = device_folder(address);
    cores_in(&system.join(format!("bus/pci/devices/{device}/local_cpulist")))
}

/// Returns the name of a device's folder: the system writes addresses in small letters, and domains with at least four
/// digits.
fn device_folder(address: &str) -> String {
    let address = address.to_ascii_lowercase();
    match address.split_once(':') {
        Some((domain, rest)) => format!("{:0>4}:{rest}", domain.trim_start_matches('0')),
        None => address,
    }
}

/// Returns the cores with siblings side by side.
pub(super) fn siblings_together(cores: Vec<usize>) -> Vec<usize> {
    by_siblings(Path::new(SYSTEM), cores)
}

fn by_siblings(system: &Path, mut cores: Vec<usize>) -> Vec<usize> {
    cores.sort_by_cached_key(|&core| (first_sibling(system, core), core));
    cores
}

/// Returns the first of the cores that share a physical core with this one.
fn first_sibling(system: &Path, core: usize) -> usize {
    let topology = system.join(format!("devices/system/cpu/cpu{core}/topology"));
    let siblings = cores_in(&topology.join("thread_siblings_list"));
    siblings.first().copied().unwrap_or(core)
}

fn cores_in(file: &Path) -> Vec<usize> {
    let list = durable::read_to_string(file);
    list.map_or_else(|_| Vec::new(), |list| listed(&list))
}

/// Returns the cores in a list of the kernel: `0-3,8`. What is no core is left out.
fn listed(list: &str) -> Vec<usize> {
    let ranges = list.split(',').filter_map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let first: usize = first.trim().parse().ok()?;
        let last: usize = last.trim().parse().ok()?;
        Some(first..=last.min(CpuSet::MAX_CPU - 1))
    });
    ranges.flatten().collect()
}

/// Writes cores as the kernel does: `0-3,8`.
pub fn as_list(cores: &[usize]) -> String {
    let mut cores = cores.to_vec();
    cores.sort_unstable();
    let runs = cores.chunk_by(|core, next| core + 1 == *next);
    let ranges = runs.map(|run| match run {
        [first, .., last] => format!("{first}-{last}"),
        run => run.iter().map(usize::to_string).collect(),
    });
    ranges.collect::<Vec<String>>().join(",")
}

/// Divides cores among GPUs by the cores near each. All GPUs have the same number of cores.
pub(super) fn divided(cores: &[usize], near: &[&[usize]]) -> Vec<Vec<usize>> {
    let each = cores.len().checked_div(near.len()).unwrap_or(0);
    let mut left = cores.to_vec();
    let mut shares = Vec::with_capacity(near.len());
    for near in near {
        shares.push(taken_out(&mut left, each, |core| near.contains(&core)));
    }
    for share in &mut shares {
        let missing = each - share.len();
        share.extend(taken_out(&mut left, missing, |_| true));
    }
    shares
}

/// Takes the first cores that fit out of a list, up to this number.
fn taken_out(left: &mut Vec<usize>, most: usize, fits: impl Fn(usize) -> bool) -> Vec<usize> {
    left.extract_if(.., |core| fits(*core)).take(most).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn lists_of_cores_are_read_and_written_as_the_kernel_writes_them() {
        for (list, cores) in [
            ("0-3,8\n", vec![0, 1, 2, 3, 8]),
            ("5", vec![5]),
            ("0-1,16-17", vec![0, 1, 16, 17]),
            ("\n", vec![]),
        ] {
            assert_eq!(listed(list), cores, "{list:?}");
            assert_eq!(as_list(&cores), list.trim(), "{cores:?}");
        }
        assert_eq!(listed("x,3-,2,4-x"), [2]);
        assert_eq!(listed("0-99999999999").len(), CpuSet::MAX_CPU);
        assert_eq!(as_list(&[17, 0, 16, 1]), "0-1,16-17");
    }

    #[test]
    fn the_folder_of_a_device_has_its_address_in_small_letters() {
        for (address, folder) in [
            ("00000000:3B:00.0", "0000:3b:00.0"),
            ("00010000:00:1E.0", "10000:00:1e.0"),
            ("0000:af:00.0", "0000:af:00.0"),
        ] {
            assert_eq!(device_folder(address), folder);
        }
    }

    #[test]
    fn each_gpu_has_as_many_cores_as_any_other_and_near_ones_first() {
        let (left, right): (Vec<usize>, Vec<usize>) = ((0..8).collect(), (8..16).collect());
        let all: Vec<usize> = (0..16).collect();
        let even = divided(&all, &[&right, &left]);
        assert_eq!(even, [right.clone(), left.clone()]);
        // Three on one side: the last of them is left with far cores.
        let uneven = divided(&all, &[&left, &left, &left, &right]);
        let expected = [0..4, 4..8, 12..16, 8..12].map(Vec::from_iter);
        assert_eq!(uneven, expected);
        // The cores near a GPU may be unknown, or forbidden.
        assert_eq!(divided(&[3, 5, 7, 9], &[&[], &[5, 6]]), [[3, 7], [5, 9]]);
        assert!(divided(&[3], &[&left, &right]).concat().is_empty());
        assert!(divided(&all, &[]).is_empty());
    }

    /// Two nodes with four physical cores each, whose siblings are 8 apart, and a GPU on each node.
    fn two_nodes(system: &Path) {
        for core in 0..16 {
            let topology = system.join(format!("devices/system/cpu/cpu{core}/topology"));
            fs::create_dir_all(&topology).unwrap();
            let siblings = format!("{},{}\n", core % 8, core % 8 + 8);
            fs::write(topology.join("thread_siblings_list"), siblings).unwrap();
        }
        for (address, near) in [
            ("0000:3b:00.0", "0-3,8-11\n"),
            ("0000:af:00.0", "4-7,12-15\n"),
        ] {
            let device = system.join("bus/pci/devices").join(address);
            fs::create_dir_all(&device).unwrap();
            fs::write(device.join("local_cpulist"), near).unwrap();
        }
    }

    #[test]
    fn gpus_get_the_cores_of_their_nodes_and_no_physical_core_is_divided() {
        let folder = tempfile::tempdir().unwrap();
        let system = folder.path();
        two_nodes(system);
        let near = |address| near_by(system, address);
        let (first, second) = (near("00000000:3B:00.0"), near("00000000:AF:00.0"));
        assert_eq!(
            (as_list(&first), as_list(&second)),
            ("0-3,8-11".to_owned(), "4-7,12-15".to_owned())
        );
        assert!(near("00000000:01:00.0").is_empty());

        // Two GPUs on each node, the nodes in the other order.
        let cores = by_siblings(system, (0..16).collect());
        assert_eq!(cores[..4], [0, 8, 1, 9]);
        let shares = divided(&cores, &[&second, &second, &first, &first]);
        let shares: Vec<String> = shares.iter().map(|share| as_list(share)).collect();
        assert_eq!(shares, ["4-5,12-13", "6-7,14-15", "0-1,8-9", "2-3,10-11"]);

        // A batch system allows but one node: the GPU on the other one has far cores.
        let shares = divided(&by_siblings(system, first.clone()), &[&second, &first]);
        let shares: Vec<String> = shares.iter().map(|share| as_list(share)).collect();
        assert_eq!(shares, ["2-3,10-11", "0-1,8-9"]);
    }

    #[test]
    fn siblings_together_are_the_same_cores() {
        let allowed = allowed();
        let mut together = siblings_together(allowed.clone());
        together.sort_unstable();
        assert!(!allowed.is_empty());
        assert_eq!(together, allowed);
    }
}
