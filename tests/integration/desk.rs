//! A temporary working folder, and the programs that run in it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// A sweep of two methods that the fake trainer finishes at once.
pub(crate) const SMALL: &str = r#"
[sweep]
name = "small"
seeds = 2

[data]
dataset.glyphs = { classes = 8, test_classes = 4, per_class = 4 }

[model]
backbone = "conv4"
embedding = 16

[training]
steps = 12
sampler.m_per_class = { batch = 8 }
optimizer.adam = {}

[[method]]
name = "Contrastive"
loss.contrastive = { neg_margin = 0.5 }

[[method]]
name = "Triplet"
loss.triplet = { margin = 0.2 }

[resources]
device = "cpu"
slots = 2
checkpoint_seconds = 0
"#;

/// A temporary working folder with one sweep file.
pub(crate) struct Desk {
    folder: TempDir,
    trainer: PathBuf,
    step_ms: u32,
}

/// The output and the exit code of a command.
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Desk {
    /// Creates a desk with the fake trainer.
    pub(crate) fn new(sweep: &str) -> Desk {
        Desk::with_trainer(sweep, Path::new(env!("CARGO_BIN_EXE_fake-trainer")))
    }

    /// Creates a desk with the real trainer, in the folder of `sweep`.
    pub(crate) fn real(sweep: &str) -> Desk {
        let trainer = Path::new(env!("CARGO_BIN_EXE_sweep")).with_file_name("sweep-trainer");
        assert!(
            trainer.is_file(),
            "build the trainer first: cargo build --workspace"
        );
        Desk::with_trainer(sweep, &trainer)
    }

    fn with_trainer(sweep: &str, trainer: &Path) -> Desk {
        let desk = Desk {
            folder: tempfile::tempdir().unwrap(),
            trainer: trainer.to_owned(),
            step_ms: 0,
        };
        fs::write(desk.path("sweep.toml"), sweep).unwrap();
        desk
    }

    /// Makes each step of the fake trainer take this long.
    pub(crate) fn slowly(self, step_ms: u32) -> Desk {
        Desk { step_ms, ..self }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Returns the written table.
    pub(crate) fn table(&self) -> String {
        self.read("reports/small/table.md")
    }

    /// Returns all files of the report that results alone determine, by name. The others tell of attempts.
    pub(crate) fn reports(&self) -> BTreeMap<String, String> {
        let entries = fs::read_dir(self.path("reports/small")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let tell_of_attempts = [
            "provenance.md",
            "provenance.csv",
            "curves.csv",
            "index.html",
        ];
        names
            .filter(|name| !tell_of_attempts.contains(&name.as_str()))
            .map(|name| {
                let bytes = fs::read(self.path(&format!("reports/small/{name}"))).unwrap();
                (name, String::from_utf8_lossy(&bytes).into_owned())
            })
            .collect()
    }

    pub(crate) fn sweep(&self, arguments: &[&str]) -> Done {
        Done::from(self.command(arguments).output().unwrap())
    }

    /// Returns the path of the trainer.
    pub(crate) fn trainer(&self) -> &str {
        self.trainer.to_str().unwrap()
    }

    /// Runs `sweep run sweep.toml` with the trainer of the desk.
    pub(crate) fn run(&self) -> Done {
        self.sweep(&self.run_arguments())
    }

    /// Starts `sweep run sweep.toml` in the background.
    pub(crate) fn start(&self) -> std::process::Child {
        self.start_command(&self.run_arguments())
    }

    /// Starts `sweep` with these arguments in the background.
    pub(crate) fn start_command(&self, arguments: &[&str]) -> std::process::Child {
        in_background(self.command(arguments))
    }

    /// Starts `sweep run sweep.toml` in the background, from a shell that has carried out `before`.
    pub(crate) fn start_after(&self, before: &str) -> std::process::Child {
        let script = format!("{before}; exec \"$0\" \"$@\"");
        let mut command = Command::new("sh");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_sweep")]);
        command.args(self.run_arguments());
        in_background(self.here(command))
    }

    pub(crate) fn run_arguments(&self) -> [&str; 4] {
        ["run", "sweep.toml", "--trainer", self.trainer()]
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sweep"));
        command.args(arguments);
        self.here(command)
    }

    /// Lets a command work in this folder.
    pub(crate) fn here(&self, mut command: Command) -> Command {
        command
            .current_dir(self.folder.path())
            .env("FAKE_STEP_MS", self.step_ms.to_string())
            .env_remove("CUDA_VISIBLE_DEVICES")
            .stdin(Stdio::null());
        command
    }

    /// Returns the ids of the trainers that work in this folder.
    pub(crate) fn trainers(&self) -> Vec<i32> {
        let here = self.folder.path().canonicalize().unwrap();
        let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| {
            let entry = entry.ok()?;
            let command = fs::read(entry.path().join("cmdline")).ok()?;
            let is_ours = fs::read_link(entry.path().join("cwd")).ok()? == here;
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let command = String::from_utf8_lossy(&command);
            let is_trainer = ["attempt.json", "--serve"]
                .iter()
                .any(|word| command.contains(word));
            (is_ours && is_trainer).then_some(pid)
        });
        processes.collect()
    }

    /// Fails if a trainer outlives its orchestrator by more than ten seconds.
    pub(crate) fn assert_no_orphans(&self) {
        let begun = Instant::now();
        while !self.trainers().is_empty() {
            assert!(
                begun.elapsed() < Duration::from_secs(10),
                "orphans: {:?}",
                self.trainers()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Returns the entries of the journal, without their checksums. The next session that has work to do cuts off a
    /// torn last line.
    pub(crate) fn journal(&self) -> Vec<serde_json::Value> {
        let journal = self.read("results/journal.jsonl");
        let lines = journal.split_inclusive('\n');
        lines
            .filter(|line| line.ends_with('\n'))
            .map(|line| serde_json::from_str(&line[9..]).unwrap())
            .collect()
    }

    /// Counts how often each job finished, according to the journal.
    pub(crate) fn finished(&self) -> std::collections::BTreeMap<String, usize> {
        let mut finished = std::collections::BTreeMap::new();
        for entry in self.journal() {
            let ended = &entry["what"]["ended"];
            if ended["end"] == "finished" {
                *finished.entry(ended["job"].to_string()).or_default() += 1;
            }
        }
        finished
    }

    /// Returns the files of this name in all run folders, by run id.
    pub(crate) fn in_runs(&self, name: &str) -> std::collections::BTreeMap<String, Vec<u8>> {
        let runs = fs::read_dir(self.path("results/runs")).unwrap();
        let files = runs.filter_map(|run| {
            let run = run.unwrap();
            Some((
                run.file_name().into_string().unwrap(),
                fs::read(run.path().join(name)).ok()?,
            ))
        });
        files.collect()
    }
}

/// Starts a command. Its standard error is kept.
pub(crate) fn in_background(mut command: Command) -> std::process::Child {
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

impl Done {
    pub(crate) fn assert_code(self, code: i32) -> Done {
        assert_eq!(self.code, Some(code), "\n{}\n{}", self.out, self.err);
        self
    }

    pub(crate) fn assert_says(self, text: &str) -> Done {
        assert!(
            self.out.contains(text) || self.err.contains(text),
            "expected {text:?} in\n{}\n{}",
            self.out,
            self.err
        );
        self
    }
}

impl From<Output> for Done {
    fn from(output: Output) -> Done {
        Done {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}
