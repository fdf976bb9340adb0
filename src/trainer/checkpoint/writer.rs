//! Writes checkpoints while the training goes on.
//!
//! The training makes one copy of its state on the host. A thread hashes it, writes it and waits for the disk. There are
//! never two such threads. What a checkpoint takes from the training is the time of the copy and the processor's time of
//! the thread; the pause until the next one follows from that, so that checkpoints take a fixed share of the time at most.

use std::{
    path::PathBuf,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::time::{ClockId, clock_gettime};

use super::{Snapshot, save};
use crate::Failed;

/// The share of the time that checkpoints take at most.
const SHARE: f64 = 0.02;
/// The shortest pause, if the pauses follow from what checkpoints cost.
const SHORTEST: Duration = Duration::from_secs(10);

/// Writes the checkpoints of one training.
pub(crate) struct CheckpointWriter {
    path: PathBuf,
    identity: String,
    /// Seconds between two checkpoints. Absent: they follow from what the last one cost.
    seconds: Option<f64>,
    /// When the last one was begun.
    begun: Instant,
    /// What the last one took from the training.
    cost: Duration,
    underway: Option<Underway>,
}

/// A checkpoint that is being written.
struct Underway {
    step: u64,
    copying: Duration,
    /// Returns the processor's time that writing took.
    thread: JoinHandle<Result<Duration, Failed>>,
}

impl CheckpointWriter {
    pub(crate) fn new(path: PathBuf, identity: String, seconds: Option<f64>) -> CheckpointWriter {
        CheckpointWriter {
            path,
            identity,
            seconds,
            begun: Instant::now(),
            cost: Duration::ZERO,
            underway: None,
        }
    }

    /// True if it is time for a checkpoint.
    pub(crate) fn is_due(&self) -> bool {
        self.underway.is_none() && self.begun.elapsed().as_secs_f64() >= self.pause()
    }

    /// True if there is one after each step, so that none must be skipped because the last one takes long.
    pub(crate) fn is_after_each_step(&self) -> bool {
        self.seconds == Some(0.0)
    }

    /// Returns the seconds from the beginning of one checkpoint to that of the next.
    fn pause(&self) -> f64 {
        let by_cost = self.cost.as_secs_f64() / SHARE;
        self.seconds.unwrap_or(by_cost.max(SHORTEST.as_secs_f64()))
    }

    /// Begins a checkpoint after this number of steps. `copied` copies the state of the training to the host.
    ///
    /// # Errors
    /// The disk did not accept the last one.
    pub(crate) fn begin(
        &mut self,
        step: u64,
        copied: impl FnOnce() -> Snapshot,
    ) -> Result<(), Failed> {
        self.finish()?;
        self.begun = Instant::now();
        let snapshot = copied();
        let copying = self.begun.elapsed();
        let (path, identity) = (self.path.clone(), self.identity.clone());
        let write = move || {
            save(&path, &identity, &snapshot)?;
            Ok(processor_time())
        };
        self.underway = Some(Underway {
            step,
            copying,
            thread: thread::spawn(write),
        });
        Ok(())
    }

    /// Returns the steps of a checkpoint that has been written since.
    ///
    /// # Errors
    /// The disk did not accept it.
    pub(crate) fn written(&mut self) -> Result<Option<u64>, Failed> {
        match &self.underway {
            Some(underway) if underway.thread.is_finished() => self.finish(),
            Some(_) | None => Ok(None),
        }
    }

    /// Waits for a checkpoint that is being written, and returns its steps.
    ///
    /// # Errors
    /// The disk did not accept it.
    pub(crate) fn finish(&mut self) -> Result<Option<u64>, Failed> {
        let Some(underway) = self.underway.take() else {
            return Ok(None);
        };
        let writing = underway
            .thread
            .join()
            .unwrap_or_else(|panic| Err(Failed::from_panic(panic.as_ref())))?;
        self.cost = underway.copying + writing;
        Ok(Some(underway.step))
    }
}

impl Drop for CheckpointWriter {
    /// Waits for the thread: nothing is written to the folder of a training that has ended.
    fn drop(&mut self) {
        // An error of the training itself is the one to report.
        let _ = self.finish();
    }
}

/// Returns the processor's time that this thread has taken.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

#[cfg(test)]
mod tests {
    use super::{super::tests::example, *};
    use crate::files;

    fn writer(seconds: Option<f64>, folder: &tempfile::TempDir) -> CheckpointWriter {
        CheckpointWriter::new(files::checkpoint(folder.path()), "me".to_owned(), seconds)
    }

    #[test]
    fn pauses_follow_from_what_the_last_checkpoint_took() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = writer(None, &folder);
        for (cost, seconds) in [(0, 10.0), (100, 10.0), (1000, 50.0), (60_000, 3000.0)] {
            writer.cost = Duration::from_millis(cost);
            assert_eq!(writer.pause(), seconds);
        }
        writer.seconds = Some(7.0);
        assert_eq!(writer.pause(), 7.0);
    }

    #[test]
    fn there_are_never_two_checkpoints_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = writer(Some(0.0), &folder);
        assert!(writer.is_due());
        writer.begin(7, example).unwrap();
        assert!(!writer.is_due());
        assert_eq!(writer.finish().unwrap(), Some(7));
        assert!(writer.is_due() && writer.written().unwrap().is_none());
        assert!(super::super::load(&files::checkpoint(folder.path()), "me").is_ok());
    }

    #[test]
    fn what_the_disk_refuses_is_an_error_of_the_training() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = writer(Some(0.0), &folder);
        std::fs::create_dir(files::checkpoint(folder.path())).unwrap();
        writer.begin(7, example).unwrap();
        assert!(writer.finish().is_err());
    }
}
