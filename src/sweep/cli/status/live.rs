//! The session that works on a results folder at the moment, and what its trainers do.
//!
//! The journal names the process and the attempts that have begun; the events of an attempt, as the
//! trainer wrote them, say how far it is.

use std::{
    collections::BTreeMap,
    io::{self, Read, Seek, SeekFrom},
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use schema::{Event, Metric, RunId};
use serde::Serialize;

use crate::{
    cli::progress::{awaits_others, duration},
    ledger::{
        Job, Ledger, LedgerError, Writer,
        journal::{LatestSession, TakenMemory},
    },
    plan::Plan,
};

/// The session at work.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct Session {
    /// The name of its sweep.
    sweep: String,
    /// The process, as it names itself in the lock.
    pub(super) process: String,
    /// How long it has been running.
    pub(super) seconds: f64,
    /// What runs now, by slot.
    pub(super) attempts: Vec<LiveAttempt>,
    /// The places that it does not use any more, each with its last failure.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    left_out: BTreeMap<String, String>,
    /// The GPUs that it does not use at the moment, each with what the processes of others take of its memory.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    awaiting: BTreeMap<String, TakenMemory>,
}

/// An attempt that runs now.
#[derive(Debug, Serialize)]
pub(super) struct LiveAttempt {
    pub(super) slot: String,
    pub(super) job: Job,
    /// The number of the attempt, from 1.
    pub(super) number: u32,
    /// The job in words.
    pub(super) name: String,
    pub(super) seconds: f64,
    pub(super) reported: Reported,
}

/// What a trainer has reported so far.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(super) struct Reported {
    /// The step from which it resumed.
    from: u64,
    done: u64,
    total: u64,
    loss: Option<f64>,
    /// Images of the survey under way, of how many.
    #[serde(skip_serializing_if = "Option::is_none")]
    surveyed: Option<(u64, u64)>,
    /// The latest validation score.
    validation: Option<(Metric, f64)>,
}

impl Session {
    /// Returns the session that works in the folder of a ledger, if there is one.
    pub(in crate::cli) fn of(plan: &Plan, ledger: &Ledger) -> Result<Option<Session>, LedgerError> {
        let at_work = ledger.orchestrator()?;
        Ok(at_work.map(|(latest, holder)| Session::new(latest, holder.name, plan, ledger)))
    }

    /// Returns the sessions of the workers that are at work in the folder of a ledger.
    pub(in crate::cli) fn of_workers(
        plan: &Plan,
        ledger: &Ledger,
    ) -> Result<Vec<Session>, LedgerError> {
        let sessions = ledger.workers()?.into_iter().map(|session| {
            let process = session.worker.as_ref().map(Writer::to_string);
            Session::new(session, process.unwrap_or_default(), plan, ledger)
        });
        Ok(sessions.collect())
    }

    fn new(latest: LatestSession, process: String, plan: &Plan, ledger: &Ledger) -> Session {
        let attempts = latest.running().into_iter().map(|running| {
            let folder = ledger.attempt_folder(running.job, running.number);
            LiveAttempt {
                reported: Reported::in_file(&folder.events()),
                name: plan.name_of_job(running.job),
                seconds: seconds_since(running.since),
                slot: running.slot,
                job: running.job,
                number: running.number,
            }
        });
        let mut attempts: Vec<LiveAttempt> = attempts.collect();
        attempts.sort_by(|one, other| one.slot.cmp(&other.slot));
        Session {
            left_out: latest.left_out(),
            awaiting: latest.awaiting(),
            sweep: latest.sweep,
            process,
            seconds: seconds_since(latest.since),
            attempts,
        }
    }

    /// True if it works on the sweep of this name.
    pub(in crate::cli) fn is_of(&self, sweep: &str) -> bool {
        self.sweep == sweep
    }

    /// Returns a line about the process and one for each slot, if the session works on this sweep.
    pub(super) fn of_sweep(&self, sweep: &str) -> Vec<String> {
        let since = seconds_in_words(self.seconds);
        if !self.is_of(sweep) {
            return vec![format!(
                "  not running; {} has been working on the sweep `{}` for {since}",
                self.process, self.sweep
            )];
        }
        let mut lines = vec![format!("  running for {since}: {}", self.process)];
        lines.extend(self.attempts.iter().map(LiveAttempt::line));
        let left_out = self.left_out.iter();
        lines.extend(
            left_out.map(|(place, message)| format!("  warning   {place} is left out: {message}")),
        );
        let awaiting = self.awaiting.iter();
        lines.extend(
            awaiting.map(|(place, &taken)| format!("  waiting   {}", awaits_others(place, taken))),
        );
        lines
    }

    /// Returns the jobs that run now.
    pub(super) fn jobs(&self) -> impl Iterator<Item = Job> {
        self.attempts.iter().map(|attempt| attempt.job)
    }

    /// True if a job of the run runs now.
    pub(super) fn works_on(&self, run: RunId) -> bool {
        self.jobs()
            .any(|job| job == Job::Train(run) || job == Job::Evaluate(run))
    }
}

impl LiveAttempt {
    /// `  cpu-0  train Triplet, seed 1: step 40 of 150, 9.5/s, 12 s to go, loss 0.71`
    fn line(&self) -> String {
        let Reported {
            done,
            total,
            loss,
            surveyed,
            validation,
            ..
        } = self.reported;
        let again = match self.number {
            1 => String::new(),
            number => format!(", attempt {number}"),
        };
        let mut parts = match total {
            0 => vec![format!("begun {} ago", seconds_in_words(self.seconds))],
            _ => vec![format!("{done} of {total}")],
        };
        let rate = self.rate();
        parts.extend(rate.map(|rate| format!("{rate:.1}/s")));
        parts.extend(
            self.to_go()
                .map(|left| format!("{} to go", seconds_in_words(left))),
        );
        parts.extend(loss.map(|loss| format!("loss {loss:.4}")));
        let survey = |(done, total)| format!("survey of {done} of {total} images");
        parts.extend(surveyed.map(survey));
        parts.extend(validation.map(|(metric, value)| {
            format!("validation {} {:.1}", metric.heading(), 100.0 * value)
        }));
        format!(
            "  {}  {}{again}: {}",
            self.slot,
            self.name,
            parts.join(", ")
        )
    }

    /// Steps, images or bytes a second.
    fn rate(&self) -> Option<f64> {
        let gained = self.reported.done.saturating_sub(self.reported.from);
        (gained > 0 && self.seconds > 0.0).then(|| gained as f64 / self.seconds)
    }

    /// Seconds to the end of the job.
    fn to_go(&self) -> Option<f64> {
        let left = self.reported.total.saturating_sub(self.reported.done);
        Some(left as f64 / self.rate()?)
    }
}

impl Reported {
    fn in_file(path: &Path) -> Reported {
        // A file that cannot be read says nothing.
        let (start, end) = both_ends(path).unwrap_or_default();
        let mut reported = Reported::default();
        let events = start.lines().chain(end.lines());
        for event in events.filter_map(|line| serde_json::from_str(line).ok()) {
            reported.hear(&event);
        }
        reported
    }

    fn hear(&mut self, event: &Event) {
        match event {
            Event::Started { from } => (self.from, self.done) = (*from, *from),
            Event::Progress { done, total, loss } => {
                (self.done, self.total) = (*done, *total);
                self.loss = loss.or(self.loss);
                self.surveyed = None;
            }
            Event::Survey { done, total } => {
                self.surveyed = Some((*done, *total)).filter(|_| done < total);
            }
            Event::Scores { validation, .. } => {
                let last = validation.last_key_value();
                self.validation = last
                    .map(|(&metric, &value)| (metric, value))
                    .or(self.validation);
            }
            Event::Remark { .. }
            | Event::Learning { .. }
            | Event::Memory { .. }
            | Event::Alive {}
            | Event::Ready {}
            | Event::Checkpoint { .. }
            | Event::Finished(_)
            | Event::Network { .. }
            | Event::Host(_)
            | Event::Failed { .. } => {}
        }
    }
}

/// Returns the beginning and the end of a file of lines, which may be long.
fn both_ends(path: &Path) -> io::Result<(String, String)> {
    const MOST: u64 = 1 << 14;
    let mut file = durable::open(path)?;
    let length = file.metadata()?.len();
    let mut start = Vec::new();
    (&file).take(MOST).read_to_end(&mut start)?;
    let mut end = Vec::new();
    file.seek(SeekFrom::Start(
        length.saturating_sub(MOST).max(start.len() as u64),
    ))?;
    file.take(MOST).read_to_end(&mut end)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok((text(&start), text(&end)))
}

fn seconds_since(milliseconds: u64) -> f64 {
    let then = UNIX_EPOCH + Duration::from_millis(milliseconds);
    let gone = SystemTime::now().duration_since(then);
    gone.unwrap_or_default().as_secs_f64()
}

pub(super) fn seconds_in_words(seconds: f64) -> String {
    Duration::try_from_secs_f64(seconds).map_or_else(|_| "unknown time".to_owned(), duration)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_latest_progress_is_read_from_a_long_file_of_events() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let mut text = "{\"started\":{\"from\":40}}\n".to_owned();
        for step in 41..2000 {
            text += &format!("{{\"progress\":{{\"done\":{step},\"total\":3000,\"loss\":0.5}}}}\n");
        }
        fs::write(&path, text + "{\"progress\":{\"do").unwrap();
        let reported = Reported::in_file(&path);
        assert_eq!((reported.from, reported.done), (40, 1999));
        assert_eq!((reported.total, reported.loss), (3000, Some(0.5)));
    }

    #[test]
    fn the_rate_does_not_count_the_steps_of_an_earlier_attempt() {
        let attempt = LiveAttempt {
            slot: "cpu-0".to_owned(),
            job: Job::Train("0".repeat(16).parse().unwrap()),
            number: 2,
            name: "train A".to_owned(),
            seconds: 10.0,
            reported: Reported {
                from: 50,
                done: 100,
                total: 150,
                ..Reported::default()
            },
        };
        let line = attempt.line();
        assert_eq!(
            line,
            "  cpu-0  train A, attempt 2: 100 of 150, 5.0/s, 10.0 s to go"
        );
    }
}
