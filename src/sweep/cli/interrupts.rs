//! Ctrl-C and the signals of shells and batch systems, watched from the first moment of the process.
//!
//! A signal ends the program at once, with a message and the exit code of an interrupt. Nothing is lost: files appear
//! as a whole or not at all. While a session runs trainers, signals are counted instead, and the session stops them.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, Ordering},
};

use signals::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGXCPU, exit_at_once};

use super::{Exit, tell};

/// The interrupts of this process.
pub(super) struct Interrupts(Arc<State>);

#[derive(Default)]
struct State {
    /// True while a session heeds the number.
    are_counted: AtomicBool,
    number: AtomicU32,
}

/// Signals are counted while it lives.
pub(super) struct Counted<'a>(&'a State);

impl Interrupts {
    /// Begins to watch for signals. From now on, a file at its limit is an error and no signal.
    ///
    /// # Errors
    /// A signal cannot be handled.
    pub(super) fn watch() -> Result<Interrupts, Exit> {
        let state = Arc::new(State::default());
        let watched = Arc::clone(&state);
        let requests = [SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGXCPU];
        signals::watch(&requests, move || watched.heed()).map_err(Exit::stuck)?;
        signals::survive_file_limit().map_err(Exit::stuck)?;
        Ok(Interrupts(state))
    }

    /// Counts signals from now on.
    pub(super) fn counted(&self) -> Counted<'_> {
        self.0.are_counted.store(true, Ordering::Relaxed);
        Counted(&self.0)
    }
}

impl Counted<'_> {
    /// Returns the number of signals so far.
    pub(super) fn number(&self) -> &AtomicU32 {
        &self.0.number
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.are_counted.store(false, Ordering::Relaxed);
    }
}

impl State {
    fn heed(&self) {
        if self.are_counted.load(Ordering::Relaxed) {
            self.number.fetch_add(1, Ordering::Relaxed);
        } else {
            tell("interrupted; the same command starts again");
            exit_at_once(Exit::INTERRUPTED.into());
        }
    }
}
