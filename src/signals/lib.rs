//! Signals that ask a process to end, except those that it was started to ignore.
//!
//! `nohup` and shells start a program with signals ignored that must not end it, such as the one of a
//! closed terminal. A handler would take that back, so an ignored signal gets none.
//!
//! The signal of a file that grows past its limit is not such a request: writing it becomes an error.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::disallowed_methods))]

use std::{
    fs, io,
    sync::{Arc, atomic::AtomicBool},
    thread,
};

pub use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGXCPU};
use signal_hook::{consts::SIGXFSZ, flag, iterator::Signals};

/// Calls `heed` at each of these signals, in a thread, from now on. A signal that was ignored when the
/// process started stays ignored.
///
/// # Errors
/// A signal cannot be handled.
pub fn watch(signals: &[i32], mut heed: impl FnMut() + Send + 'static) -> io::Result<()> {
    let ignored = Ignored::at_start();
    let heeded = signals.iter().filter(|&&signal| !ignored.contains(signal));
    let mut arriving = Signals::new(heeded)?;
    thread::Builder::new().spawn(move || {
        for _ in arriving.forever() {
            heed();
        }
    })?;
    Ok(())
}

/// Makes a write past the limit of a file's size (`ulimit -f`) fail with
/// [`FileTooLarge`](io::ErrorKind::FileTooLarge). By default, SIGXFSZ ends the process instead.
///
/// # Errors
/// The signal cannot be handled.
pub fn survive_file_limit() -> io::Result<()> {
    // The flag is not read: the write that fails tells the same.
    flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false))).map(|_| ())
}

/// Returns a signal as people write it: `SIGABRT (6)`.
pub fn name(signal: i32) -> String {
    match signal_hook::low_level::signal_name(signal) {
        Some(name) => format!("{name} ({signal})"),
        None => format!("signal {signal}"),
    }
}

/// Ends the process at once, whatever its other threads are doing.
pub fn exit_at_once(code: i32) -> ! {
    signal_hook::low_level::exit(code)
}

/// The signals that this process ignores: bit `n - 1` is signal `n`.
struct Ignored(u64);

impl Ignored {
    /// Asks the system; where it does not tell, no signal counts as ignored.
    fn at_start() -> Ignored {
        #[expect(clippy::disallowed_methods, reason = "it is no pipe")]
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        Ignored::in_status(&status)
    }

    fn in_status(status: &str) -> Ignored {
        let mut masks = status
            .lines()
            .filter_map(|line| line.strip_prefix("SigIgn:"));
        let mask = masks.next().map(str::trim);
        Ignored(
            mask.and_then(|mask| u64::from_str_radix(mask, 16).ok())
                .unwrap_or(0),
        )
    }

    fn contains(&self, signal: i32) -> bool {
        let bit = u32::try_from(signal - 1).ok();
        bit.and_then(|bit| self.0.checked_shr(bit))
            .is_some_and(|mask| mask & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use std::{process::Command, sync::mpsc, time::Duration};

    use super::*;

    #[test]
    fn ignored_signals_are_read_from_the_status_of_the_process() {
        let ignored = Ignored::in_status("Name:\tx\nSigBlk:\t0001\nSigIgn:\t0000000000004001\n");
        assert!(ignored.contains(SIGHUP) && ignored.contains(SIGTERM));
        assert!(!ignored.contains(SIGINT) && !ignored.contains(0) && !ignored.contains(99));
        assert!(!Ignored::in_status("").contains(SIGHUP));
    }

    #[test]
    fn a_signal_is_heeded() {
        let (sender, receiver) = mpsc::channel();
        watch(&[SIGUSR1], move || sender.send(()).unwrap()).unwrap();
        let me = std::process::id().to_string();
        let sent = Command::new("sh")
            .args(["-c", "kill -USR1 $0", &me])
            .status();
        assert!(sent.unwrap().success());
        receiver.recv_timeout(Duration::from_secs(20)).unwrap();
    }

    #[test]
    fn the_signal_of_a_file_at_its_limit_ends_nothing() {
        survive_file_limit().unwrap();
        signal_hook::low_level::raise(SIGXFSZ).unwrap();
    }
}
