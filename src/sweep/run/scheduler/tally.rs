//! What became of the jobs of a session, and why some are left.

/// The number of jobs by what became of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Jobs whose results existed before.
    pub reused: usize,
    /// Jobs that were done in this session.
    pub done: usize,
    /// Jobs that failed.
    pub failed: usize,
    /// Jobs on which other processes work.
    pub taken: usize,
    /// Jobs that did not start or finish, because another failed or the sweep was interrupted.
    pub not_started: usize,
    /// True if the user interrupted.
    pub interrupted: bool,
    /// True if a disk was full.
    pub disk_full: bool,
    /// The last failure of the last place, if none is left to run on.
    pub stranded: Option<String>,
    /// True if failures kept further jobs from starting.
    pub gave_up: bool,
}

/// Why jobs are left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Halt<'t> {
    /// The user interrupted, or a batch system asked for the end.
    Interrupted,
    /// A disk was full or could not be written.
    DiskFull,
    /// No place is left to run on, after this failure of the last one.
    Stranded(&'t str),
    /// Too many jobs failed.
    GaveUp,
    /// Other processes work on them.
    Taken,
}

impl Tally {
    /// Returns the number of jobs that have neither a result nor failed.
    pub fn left(&self) -> usize {
        self.taken + self.not_started
    }

    /// Returns why jobs are left, the first of several reasons; nothing if failed jobs alone are the reason.
    pub fn halt(&self) -> Option<Halt<'_>> {
        if self.interrupted && self.not_started > 0 {
            return Some(Halt::Interrupted);
        }
        if self.disk_full {
            return Some(Halt::DiskFull);
        }
        if let Some(message) = &self.stranded {
            return Some(Halt::Stranded(message));
        }
        if self.gave_up {
            return Some(Halt::GaveUp);
        }
        (self.taken > 0).then_some(Halt::Taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupt_that_came_after_the_last_job_leaves_nothing() {
        let tally = Tally {
            done: 3,
            interrupted: true,
            ..Tally::default()
        };
        assert_eq!(tally.halt(), None);
        let tally = Tally {
            not_started: 1,
            disk_full: true,
            ..tally
        };
        assert_eq!(tally.halt(), Some(Halt::Interrupted));
    }

    #[test]
    fn a_full_disk_is_told_before_the_failures_that_it_caused() {
        let tally = Tally {
            failed: 1,
            not_started: 2,
            taken: 1,
            gave_up: true,
            disk_full: true,
            ..Tally::default()
        };
        assert_eq!(tally.halt(), Some(Halt::DiskFull));
        assert_eq!(tally.left(), 3);
    }
}
