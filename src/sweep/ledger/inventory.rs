//! Every file under `results/`, known by its place: what it is, and what is lost without it.
//!
//! [`FileKind`] is the one list of these files. `docs/results-folder.md` shows it, `sweep gc` and `sweep fsck` work by
//! it, and a test holds it against what real sweeps write.

use std::{
    fs, io,
    path::{Component, Path, PathBuf},
};

use super::{Ledger, LedgerError};

/// A kind of file under `results/`. [`meaning`](FileKind::meaning) says what each is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileKind {
    Lock,
    Journal,
    TornJournal,
    Fingerprints,
    Learned,
    Cache,
    Sweep,
    Script,
    Submission,
    Standing,
    Study,
    Index,
    Images,
    Root,
    Registration,
    Identity,
    Checkpoint,
    Network,
    Module,
    Training,
    Record,
    Queries,
    Embeddings,
    Claim,
    Attempt,
    Events,
    Log,
    Exit,
    SetAside,
    Unfinished,
}

/// A file that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundFile {
    /// Its path.
    pub path: PathBuf,
    /// What it is; `None` if it is not the program's.
    pub kind: Option<FileKind>,
    /// Its size.
    pub bytes: u64,
}

impl FileKind {
    /// All kinds, in the order of the documentation.
    pub const ALL: [FileKind; 30] = [
        FileKind::Lock,
        FileKind::Journal,
        FileKind::TornJournal,
        FileKind::Fingerprints,
        FileKind::Learned,
        FileKind::Cache,
        FileKind::Sweep,
        FileKind::Script,
        FileKind::Submission,
        FileKind::Standing,
        FileKind::Study,
        FileKind::Index,
        FileKind::Images,
        FileKind::Root,
        FileKind::Registration,
        FileKind::Identity,
        FileKind::Checkpoint,
        FileKind::Network,
        FileKind::Module,
        FileKind::Training,
        FileKind::Record,
        FileKind::Queries,
        FileKind::Embeddings,
        FileKind::Claim,
        FileKind::Attempt,
        FileKind::Events,
        FileKind::Log,
        FileKind::Exit,
        FileKind::SetAside,
        FileKind::Unfinished,
    ];

    /// Returns its places: paths in which `*` stands for any letters of one name.
    pub fn places(self) -> &'static [&'static str] {
        match self {
            FileKind::Lock => &["LOCK"],
            FileKind::Journal => &["journal.jsonl", "journal/*.jsonl"],
            FileKind::TornJournal => &["journal.torn"],
            FileKind::Fingerprints => &["fingerprints.json"],
            FileKind::Learned => &["learned.json"],
            FileKind::Cache => &["cache/*.bin"],
            FileKind::Sweep => &["sweeps/*.toml"],
            FileKind::Script => &["scripts/*.pt"],
            FileKind::Submission => &[
                "slurm/*/submission.json",
                "slurm/*/sweep.toml",
                "slurm/*/chunks.json",
                "slurm/*/script.sh",
            ],
            FileKind::Standing => &[
                "slurm/*/accepted.json",
                "slurm/*/ended/*.json",
                "slurm/*/ended/*.full",
                "slurm/*/stop",
                "slurm/*/over",
            ],
            FileKind::Study => &["studies/*.json"],
            FileKind::Index => &["data/*/index.json"],
            FileKind::Images => &["data/*/images.u8"],
            FileKind::Root => &["data/*/root"],
            FileKind::Registration => &["data/*/dataset.json"],
            FileKind::Identity => &["runs/*/identity.json"],
            FileKind::Checkpoint => &["runs/*/checkpoint.safetensors"],
            FileKind::Network => &["runs/*/model.safetensors"],
            FileKind::Module => &["runs/*/backbone.pt"],
            FileKind::Training => &["runs/*/trained.json"],
            FileKind::Record => &["runs/*/record.json", "ensembles/*/record.json"],
            FileKind::Queries => &["runs/*/queries.csv", "ensembles/*/queries.csv"],
            FileKind::Embeddings => &[
                "runs/*/embeddings.safetensors",
                "ensembles/*/embeddings.safetensors",
            ],
            FileKind::Claim => &["*/*/*/*/claim.json"],
            FileKind::Attempt => &["*/*/*/*/attempt.json"],
            FileKind::Events => &["*/*/*/*/events.jsonl"],
            FileKind::Log => &["*/*/*/*/log.txt", "slurm/*/logs/*.txt"],
            FileKind::Exit => &["*/*/*/*/exit.json"],
            FileKind::SetAside => &["*.damaged", "*.damaged-*"],
            FileKind::Unfinished => &["*.incomplete"],
        }
    }

    /// Returns what it is.
    pub fn meaning(self) -> &'static str {
        match self {
            FileKind::Lock => {
                "locked by the one `sweep` that writes here; names its process, user, machine and Slurm job"
            }
            FileKind::Journal => {
                "the order and the times of what happened, for forecasts of time; each worker on a cluster has its own"
            }
            FileKind::TornJournal => "damaged lines of the journal",
            FileKind::Fingerprints => {
                "hashes of data sets, so that unchanged files are not read again"
            }
            FileKind::Learned => "the memory and the speed of runs that share GPUs",
            FileKind::Cache => {
                "what was read of many results, so that those that did not change are not read again; how an attempt finished \
                 counts as unchanged until attempts at its job are added or removed"
            }
            FileKind::Sweep => {
                "a sweep as it was last run, with everything it builds on; `sweep diff` compares with it"
            }
            FileKind::Script => "a loss or a miner of the user, named by its SHA-256",
            FileKind::Submission => "what workers on a cluster were asked to do",
            FileKind::Standing => {
                "what became of that: whether Slurm has it, and how each worker ended"
            }
            FileKind::Study => "the points of a search's trials, in order",
            FileKind::Index => "a prepared data set: its classes, labels and files",
            FileKind::Images => "its images, decoded and resized",
            FileKind::Root => "where its images are, if they are not kept",
            FileKind::Registration => "what `sweep data add` had found",
            FileKind::Identity => "what the id of the run is the hash of",
            FileKind::Checkpoint => "the state of a training; removed when it has ended",
            FileKind::Network => "the trained network",
            FileKind::Module => "the module of a TorchScript backbone",
            FileKind::Training => "how the training ended",
            FileKind::Record => "the scores on the test classes",
            FileKind::Queries => "the scores of each query",
            FileKind::Embeddings => "embeddings of the test images, for further metrics",
            FileKind::Claim => {
                "which process makes the attempt; touched every ten seconds as long as it does"
            }
            FileKind::Attempt => "the request to the trainer, in the folder of an attempt",
            FileKind::Events => "what the trainer reported",
            FileKind::Log => "its log; what a worker on a cluster printed",
            FileKind::Exit => "how the attempt ended, by which programs and on which machine",
            FileKind::SetAside => "a damaged file that was set aside",
            FileKind::Unfinished => {
                "a file that is being written, or that a kill left half-written"
            }
        }
    }

    /// Returns what is lost without it.
    pub fn loss(self) -> &'static str {
        match self {
            FileKind::Network | FileKind::Module => "further metrics need a new training",
            FileKind::Training => "the training begins again",
            FileKind::Checkpoint => "the training begins at step 0",
            FileKind::Record | FileKind::Queries => "the run is measured again",
            FileKind::Embeddings => {
                "`sweep verify` has nothing to compute from; further metrics embed the test images again"
            }
            FileKind::Study => "a search whose bounds are edited chooses new points",
            FileKind::Index | FileKind::Images => "the data set is prepared again",
            FileKind::Identity => "nothing: the next `sweep run` writes it again",
            FileKind::Journal => "nothing: `sweep fsck --repair` writes it again",
            FileKind::Fingerprints => "nothing: data sets are read again",
            FileKind::Learned => "nothing: sweeps learn it again",
            FileKind::Cache => "nothing: results are read again",
            FileKind::Sweep => "`sweep diff` has nothing to compare with",
            FileKind::Script => "nothing as long as the file that the sweep names is there",
            FileKind::Root | FileKind::Registration => "nothing: the next `sweep run` writes it",
            FileKind::Submission => "workers that have not started cannot",
            FileKind::Claim => "nothing, once the attempt has ended",
            FileKind::Attempt | FileKind::Events | FileKind::Log => "nothing: they are for people",
            FileKind::Standing => "nothing: Slurm is asked, and results are looked at",
            FileKind::Exit => "reports do not know what computed the result",
            FileKind::Lock | FileKind::TornJournal | FileKind::SetAside | FileKind::Unfinished => {
                "nothing"
            }
        }
    }

    /// True if a file was set aside, or is half-written.
    pub(super) fn is_rest(path: &Path) -> bool {
        let kind = path
            .file_name()
            .and_then(|name| FileKind::of(name.as_ref()));
        matches!(kind, Some(FileKind::SetAside | FileKind::Unfinished))
    }

    /// Returns the kind of a file in the folder of a run or of an ensemble, by its name alone.
    pub fn of_path(path: &Path) -> Option<FileKind> {
        let name = path.file_name()?;
        FileKind::of(&Path::new("runs/run").join(name))
    }

    /// Returns the kind of the file at a path below `results/`; `None` if the program writes no such file.
    fn of(below: &Path) -> Option<FileKind> {
        let names: Vec<String> = below
            .components()
            .map(|part| match part {
                Component::Normal(name) => name.to_string_lossy().into_owned(),
                _ => String::new(),
            })
            .collect();
        let last = names.last()?;
        let set_aside = [FileKind::SetAside, FileKind::Unfinished];
        let is_at = |kind: FileKind| match set_aside.contains(&kind) {
            true => kind.places().iter().any(|name| matches(name, last)),
            false => kind.places().iter().any(|place| is_place(place, &names)),
        };
        FileKind::ALL.into_iter().find(|&kind| is_at(kind))
    }
}

fn is_place(place: &str, names: &[String]) -> bool {
    let parts: Vec<&str> = place.split('/').collect();
    let mut pairs = parts.iter().zip(names);
    parts.len() == names.len() && pairs.all(|(part, name)| matches(part, name))
}

/// True if a name fits a pattern, which has at most one `*`, or a second one at its end.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((before, after)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(rest) = name.strip_prefix(before) else {
        return false;
    };
    match after.strip_suffix('*') {
        Some(inside) => rest.contains(inside),
        None => rest.ends_with(after),
    }
}

impl Ledger {
    /// Returns all files of the results folder, sorted by path. Links are not followed.
    ///
    /// # Errors
    /// A folder cannot be read.
    pub fn files(&self) -> Result<Vec<FoundFile>, LedgerError> {
        let mut found = Vec::new();
        self.add_files(self.root(), &mut found)?;
        found.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(found)
    }

    fn add_files(&self, folder: &Path, found: &mut Vec<FoundFile>) -> Result<(), LedgerError> {
        let listing = LedgerError::io("list", folder);
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(listing(error)),
        };
        for entry in entries.flatten() {
            let path = entry.path();
            let Ok(metadata) = entry.metadata() else {
                // Another process has removed it.
                continue;
            };
            if metadata.is_dir() {
                self.add_files(&path, found)?;
                continue;
            }
            let below = path.strip_prefix(self.root()).unwrap_or(&path);
            found.push(FoundFile {
                kind: FileKind::of(below),
                bytes: metadata.len(),
                path,
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_by_its_place() {
        for (path, kind) in [
            ("LOCK", Some(FileKind::Lock)),
            ("runs/7f2c/record.json", Some(FileKind::Record)),
            ("ensembles/7f2c/record.json", Some(FileKind::Record)),
            ("runs/7f2c/train/0001/log.txt", Some(FileKind::Log)),
            ("data/ab/prepare/0001/exit.json", Some(FileKind::Exit)),
            ("sweeps/a b.toml", Some(FileKind::Sweep)),
            ("scripts/04ce.pt", Some(FileKind::Script)),
            ("runs/7f2c/record.json.damaged-2", Some(FileKind::SetAside)),
            (
                "runs/7f2c/model.safetensors.incomplete",
                Some(FileKind::Unfinished),
            ),
            ("runs/7f2c/notes.txt", None),
            ("record.json", None),
        ] {
            assert_eq!(FileKind::of(Path::new(path)), kind, "{path}");
        }
    }
}
