//! Cores for slots: the attempts in different slots do not take each other's caches and turns.

use rustix::{
    process::Pid,
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
};

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
