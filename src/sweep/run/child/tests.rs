use std::{
    fs,
    os::unix::fs::PermissionsExt,
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};

use schema::Device;

use super::*;
use crate::{ledger::Ledger, run::slots::PlaceId};

/// The longest wait for a message in these tests.
const PATIENCE: Duration = Duration::from_secs(30);

/// A trainer that is a shell script, at work.
struct Script {
    child: Child,
    messages: Receiver<Message>,
    /// Of the last attempt.
    folder: AttemptFolder,
    reports: Reports,
    root: tempfile::TempDir,
}

const FINISHED: &str = r#"{"finished":{"imported":{"images":1}}}"#;

fn start(script: &str) -> Script {
    Script::new(script, |program, slot, folder, reports| {
        Child::start(program, slot, None, folder, reports)
    })
}

/// Starts a script that serves, with its first attempt.
fn serve(script: &str) -> Script {
    Script::new(script, |program, slot, folder, reports| {
        let mut child = Child::serve(program, slot, None, folder.path())?;
        child.assign(folder, reports)?;
        Ok(child)
    })
}

/// Creates the folder of an attempt.
fn attempt_folder(root: &Path, job: Job, attempt: u32) -> AttemptFolder {
    let folder = Ledger::new(root).attempt_folder(job, attempt);
    fs::create_dir_all(folder.path()).unwrap();
    folder
}

impl Script {
    fn new(
        script: &str,
        start: impl Fn(&Path, &Slot, &AttemptFolder, Reports) -> io::Result<Child>,
    ) -> Script {
        let root = tempfile::tempdir().unwrap();
        let program = root.path().join("trainer");
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let job = Job::Prepare("0123456789abcdef".parse().unwrap());
        let (attempt, folder) = (1, attempt_folder(root.path(), job, 1));
        let slot = Slot {
            name: "cpu 0".to_owned(),
            device: Device::Cpu,
            place: PlaceId(0),
            threads: 1,
            cores: Vec::new(),
            visible: None,
        };
        let (messages, receiver) = mpsc::sync_channel(2);
        let reports = Reports {
            job,
            attempt,
            messages,
        };
        // Another test may have forked while the script was open for writing, and then the system refuses to start it for
        // a moment.
        let child = loop {
            match start(&program, &slot, &folder, reports.clone()) {
                Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => {}
                child => break child.unwrap(),
            }
        };
        Script {
            child,
            messages: receiver,
            folder,
            reports,
            root,
        }
    }

    /// Gives the process another attempt.
    fn assign_another(&mut self) -> io::Result<()> {
        self.reports.attempt += 1;
        let Reports { job, attempt, .. } = self.reports;
        self.folder = attempt_folder(self.root.path(), job, attempt);
        self.child.assign(&self.folder, self.reports.clone())
    }

    /// Returns the attempt and the events up to its end, and true if the process waits for another one.
    fn attempt(&self) -> (u32, Vec<Event>, bool) {
        let mut events = Vec::new();
        loop {
            let message = self.messages.recv_timeout(PATIENCE).unwrap();
            match message.notice {
                Notice::Event(event) => events.push(event),
                Notice::Ready => return (message.attempt, events, true),
                Notice::Exited(_) => return (message.attempt, events, false),
            }
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.log()).unwrap()
    }

    /// Returns the events up to the end of the process, and its end.
    fn to_the_end(&self) -> (Vec<Event>, ProcessEnd) {
        let mut events = Vec::new();
        loop {
            match self.messages.recv_timeout(PATIENCE).unwrap().notice {
                Notice::Event(event) => events.push(event),
                Notice::Ready => panic!("it waits for another attempt"),
                Notice::Exited(end) => return (events, self.child.end(end)),
            }
        }
    }

    fn events(&self) -> String {
        fs::read_to_string(self.folder.events()).unwrap()
    }
}

#[test]
fn the_events_the_log_and_the_end_of_a_process_are_received() {
    let script = start(
        r#"echo '{"started":{"from":7}}'; echo noise; echo '{"alive":{}}'
echo first >&2; echo last words >&2; exit 5"#,
    );
    let (events, end) = script.to_the_end();
    assert_eq!(events, [Event::Started { from: 7 }, Event::Alive {}]);
    assert_eq!((end.code, end.signal), (Some(5), None));
    assert_eq!(end.last_line.as_deref(), Some("last words"));
    assert_eq!(script.events(), "{\"started\":{\"from\":7}}\nnoise\n");
}

#[test]
fn a_process_that_is_left_behind_with_the_output_does_not_keep_the_attempt_open() {
    let script = start(&format!("sleep 600 & echo '{FINISHED}'"));
    let (events, end) = script.to_the_end();
    assert_eq!((events.len(), end.code), (1, Some(0)));
}

#[test]
fn events_that_wait_for_a_busy_session_come_before_the_end() {
    // The channel takes two messages, and nobody receives before the process has ended.
    let script = start(r#"for i in 1 2 3 4 5 6 7 8 9; do echo '{"alive":{}}'; done"#);
    thread::sleep(Duration::from_millis(500));
    assert_eq!(script.to_the_end().0.len(), 9);
}

#[test]
fn a_line_that_is_too_long_is_neither_read_nor_kept() {
    let script = start(&format!(
        "head -c 3000000 /dev/zero | tr '\\0' x; echo; echo '{FINISHED}'"
    ));
    assert_eq!(script.to_the_end().0.len(), 1);
    assert_eq!(script.events(), format!("{FINISHED}\n"));
}

/// Logs and finishes each attempt.
const SERVANT: &str = r#"while read line; do echo "${line##*/}" >&2; echo '{"alive":{}}'
echo '{"finished":{"imported":{"images":1}}}'; echo over >&2; echo '{"ready":{}}'; done"#;

#[test]
fn a_process_that_serves_keeps_what_it_writes_for_each_attempt_apart() {
    let mut script = serve(SERVANT);
    let (first, events, waits) = script.attempt();
    assert_eq!((first, events.len(), waits), (1, 2, true));
    assert!(script.log().ends_with("attempt.json\nover\n"));
    assert_eq!(script.events(), format!("{FINISHED}\n"));
    for number in 2..50 {
        script.assign_another().unwrap();
        let (attempt, events, waits) = script.attempt();
        assert_eq!((attempt, events.len(), waits), (number, 2, true));
        assert_eq!(script.log(), "attempt.json\nover\n");
        assert_eq!(script.events(), format!("{FINISHED}\n"));
    }
}

#[test]
fn a_process_that_serves_and_ends_in_an_attempt_ends_that_attempt() {
    let script = serve("read line; echo oops >&2; exit 4");
    let (events, end) = script.to_the_end();
    assert_eq!((events.len(), end.code), (0, Some(4)));
    assert_eq!(end.last_line.as_deref(), Some("oops"));
}

#[test]
fn a_process_that_has_ended_while_it_waited_takes_no_attempt() {
    let mut script = serve(&format!(
        "read line; echo '{FINISHED}'; echo '{{\"ready\":{{}}}}'"
    ));
    assert!(script.attempt().2);
    // It ends within a moment.
    let refused = (0..1000).any(|_| {
        thread::sleep(Duration::from_millis(10));
        script.assign_another().is_err()
    });
    assert!(refused);
}

#[test]
fn a_silent_process_is_killed_after_its_limit_and_called_hung() {
    let mut script = start("exec sleep 600");
    for _ in 0..5 {
        assert!(script.child.tick(Some(5)).is_none());
    }
    script.child.heard(&Event::Alive {});
    for _ in 0..6 {
        assert!(script.child.tick(Some(5)).is_none());
    }
    let end = script.to_the_end().1;
    assert!(end.hung && end.signal == Some(9), "{end:?}");
}

#[test]
fn a_process_that_stays_after_its_result_is_killed_without_blame() {
    let mut script = start("exec sleep 600");
    let finished: Event = serde_json::from_str(FINISHED).unwrap();
    script.child.heard(&finished);
    for _ in 0..=LEAVING {
        assert!(script.child.tick(None).is_none());
    }
    let end = script.to_the_end().1;
    assert!(!end.hung && end.signal == Some(9), "{end:?}");
}

#[test]
fn a_process_that_survives_its_killing_is_abandoned() {
    let mut script = start("exec sleep 600");
    script.child.kill();
    let ends: Vec<_> = (0..DYING).filter_map(|_| script.child.tick(None)).collect();
    let process = script.child.group().as_raw_pid();
    assert_eq!(ends.len(), 1);
    assert_eq!(ends[0].abandoned, Some(process));
}
