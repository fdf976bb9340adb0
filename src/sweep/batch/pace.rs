//! How often something is looked at: often while it changes, and ever more rarely while nothing happens.

use std::time::{Duration, Instant};

/// The times of looks.
#[derive(Debug)]
pub(super) struct Pace {
    shortest: Duration,
    longest: Duration,
    growth: u32,
    now: Duration,
    last: Instant,
}

impl Pace {
    /// Creates a pace between two periods; the first look is due after the shortest. A period without a change is followed by
    /// one that is `growth` times as long.
    pub(super) fn new(shortest: Duration, longest: Duration, growth: u32) -> Pace {
        Pace {
            shortest,
            longest,
            growth,
            now: shortest,
            last: Instant::now(),
        }
    }

    /// True if a look is due.
    pub(super) fn is_due(&self) -> bool {
        self.last.elapsed() >= self.now
    }

    /// Notes a look, and whether anything had changed.
    pub(super) fn looked(&mut self, has_changed: bool) {
        self.last = Instant::now();
        self.now = match has_changed {
            true => self.shortest,
            false => (self.now * self.growth).min(self.longest),
        };
    }

    /// Makes the next look due after the shortest period: something has changed.
    pub(super) fn quicken(&mut self) {
        self.now = self.shortest;
    }

    /// Makes the next look due within this time.
    pub(super) fn hurry(&mut self, within: Duration) {
        self.now = self.now.min(within);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_become_rare_while_nothing_changes_and_frequent_when_something_does() {
        let mut pace = Pace::new(Duration::from_secs(10), Duration::from_secs(60), 2);
        assert!(!pace.is_due());
        for seconds in [20, 40, 60, 60] {
            pace.looked(false);
            assert_eq!(pace.now.as_secs(), seconds);
        }
        pace.looked(true);
        assert_eq!(pace.now.as_secs(), 10);
        pace.looked(false);
        pace.quicken();
        assert_eq!(pace.now.as_secs(), 10);
        pace.hurry(Duration::ZERO);
        assert!(pace.is_due());
    }
}
