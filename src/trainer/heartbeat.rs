//! Signs of life while there is no progress to report.
//!
//! Measuring, clustering and reading can take long without an event, and the orchestrator ends a
//! trainer that is silent for too long. A thread therefore reports that the process has computed since
//! the last time. A process that only waits, for a lock or for a device, computes nothing and stays
//! silent.

use std::{io, thread, time::Duration};

use rustix::time::{ClockId, clock_gettime};

/// The time between two signs of life; shorter than any sensible limit of silence.
const EVERY: Duration = Duration::from_secs(2);

/// The processor time, in nanoseconds, that makes a sign of life; the thread itself uses far less.
const LEAST: i64 = 1_000_000;

/// Calls `beat` now and then in a thread, as long as the process computes and `beat` succeeds.
pub(crate) fn start(beat: impl Fn() -> io::Result<()> + Send + 'static) {
    thread::spawn(move || {
        let mut before = processor_time();
        loop {
            thread::sleep(EVERY);
            let now = processor_time();
            if now - before >= LEAST && beat().is_err() {
                return;
            }
            before = now;
        }
    });
}

/// Returns the processor time of this process so far, in nanoseconds.
fn processor_time() -> i64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}
