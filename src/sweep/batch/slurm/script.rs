//! The script of an array: its options, the user's own lines, and one worker.
//!
//! The last line replaces the shell by the worker, so that Slurm's signals reach it. Jobs are not put back by Slurm
//! itself: what is left of an element that ended is submitted again, in a new array.

use std::{path::Path, time::Duration};

use crate::{
    batch::SubmissionFolder,
    config::{SlurmTable, TimeLimit, asks_for_gpus},
    shell::CommandLine,
};

/// How long before its time limit an element is told to stop; Slurm may tell it up to a minute earlier.
const NOTICE: Duration = Duration::from_secs(300);
/// The shortest notice.
const SHORTEST_NOTICE: Duration = Duration::from_secs(10);
/// The share of a short time limit that is notice.
const SHARE: u32 = 10;

/// What the elements of an array have in common.
#[derive(Clone, Copy, Debug)]
pub struct Script<'a> {
    /// What they ask for.
    pub table: &'a SlurmTable,
    /// The name of the sweep.
    pub sweep: &'a str,
    /// The number of elements.
    pub elements: usize,
    /// True if they need GPUs, as the table asks for them.
    pub needs_gpus: bool,
    /// The submission, with its absolute path. The array is known by its name.
    pub submission: &'a SubmissionFolder,
    /// The folder in which the workers work.
    pub folder: &'a Path,
    /// The executable of `sweep`.
    pub program: &'a Path,
}

impl Script<'_> {
    /// Returns the text of the script.
    pub fn text(&self) -> String {
        let mut lines = vec!["#!/bin/sh".to_owned()];
        lines.extend(
            self.options()
                .iter()
                .map(|option| format!("#SBATCH {option}")),
        );
        lines.extend(self.table.prologue.iter().cloned());
        let worker = CommandLine::new("exec")
            .path(self.program)
            .plain("worker")
            .path(self.submission.path())
            .plain("--chunk \"$SLURM_ARRAY_TASK_ID\"");
        lines.push(worker.to_string());
        lines.join("\n") + "\n"
    }

    fn options(&self) -> Vec<String> {
        let SlurmTable {
            partition,
            account,
            qos,
            constraint,
            gres,
            time,
            cpus,
            memory,
            array_limit,
            stage: _,
            chunk: _,
            prologue: _,
            options,
        } = self.table;
        let last = self.elements.saturating_sub(1);
        let limit = array_limit.map_or(String::new(), |limit| format!("%{limit}"));
        let logs = pattern(&self.submission.logs()) + "/%a.txt";
        let gres = gres.as_ref().filter(|_| self.needs_gpus);
        let given = [
            ("partition", partition.clone()),
            ("account", account.clone()),
            ("qos", qos.clone()),
            ("constraint", constraint.clone()),
            ("gres", gres.cloned()),
            ("time", time.map(|time| time.to_string())),
            ("cpus-per-task", cpus.map(|cpus| cpus.to_string())),
            (
                "mem",
                memory.map(|memory| format!("{}M", memory.bytes().div_ceil(1 << 20))),
            ),
        ];
        let own = [
            ("job-name", self.submission.name()),
            ("comment", self.sweep.to_owned()),
            ("array", format!("0-{last}{limit}")),
            ("chdir", self.folder.display().to_string()),
            ("output", logs),
            ("open-mode", "append".to_owned()),
            ("export", "NONE".to_owned()),
            ("signal", format!("B:USR1@{}", notice(*time).as_secs())),
        ];
        let given = given
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?)));
        let all = own.into_iter().chain(given);
        let mut lines: Vec<String> = all
            .map(|(key, value)| format!("--{key}={}", quoted(&value)))
            .collect();
        lines.push("--no-requeue".to_owned());
        let is_own = |option: &&String| self.needs_gpus || !asks_for_gpus(option);
        lines.extend(options.iter().filter(is_own).cloned());
        lines
    }
}

/// Returns how long before a time limit an element is told to stop.
fn notice(limit: Option<TimeLimit>) -> Duration {
    let share = limit.map_or(NOTICE, |limit| limit.duration() / SHARE);
    share.clamp(SHORTEST_NOTICE, NOTICE)
}

/// Returns a path in which Slurm replaces nothing.
fn pattern(path: &Path) -> String {
    path.display().to_string().replace('%', "%%")
}

/// Returns a value as `sbatch` reads it in a script.
fn quoted(value: &str) -> String {
    match value.contains([' ', '\t', '"', '#', '\\']) {
        true => format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"")),
        false => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(table: &SlurmTable, needs_gpus: bool) -> String {
        let submission = SubmissionFolder::at("/home/anna/my results/slurm/7f2c");
        let script = Script {
            table,
            sweep: "birds",
            elements: 12,
            needs_gpus,
            submission: &submission,
            folder: Path::new("/home/anna"),
            program: Path::new("/home/anna/bin/sweep"),
        };
        script.text()
    }

    #[test]
    fn a_script_is_what_its_table_asks_for() {
        let table = SlurmTable {
            partition: Some("gpu".to_owned()),
            gres: Some("gpu:2".to_owned()),
            time: Some("4:00:00".parse().unwrap()),
            cpus: Some(8),
            memory: Some("32 GB".parse().unwrap()),
            array_limit: Some(4),
            prologue: vec!["module load cuda".to_owned()],
            options: vec!["--nice=100".to_owned()],
            ..SlurmTable::default()
        };
        insta::assert_snapshot!(script(&table, true), @r###"
        #!/bin/sh
        #SBATCH --job-name=sweep-7f2c
        #SBATCH --comment=birds
        #SBATCH --array=0-11%4
        #SBATCH --chdir=/home/anna
        #SBATCH --output="/home/anna/my results/slurm/7f2c/logs/%a.txt"
        #SBATCH --open-mode=append
        #SBATCH --export=NONE
        #SBATCH --signal=B:USR1@300
        #SBATCH --partition=gpu
        #SBATCH --gres=gpu:2
        #SBATCH --time=4:00:00
        #SBATCH --cpus-per-task=8
        #SBATCH --mem=30518M
        #SBATCH --no-requeue
        #SBATCH --nice=100
        module load cuda
        exec /home/anna/bin/sweep worker '/home/anna/my results/slurm/7f2c' --chunk "$SLURM_ARRAY_TASK_ID"
        "###);
    }

    #[test]
    fn preparing_asks_for_no_gpu() {
        let table = SlurmTable {
            gres: Some("gpu:2".to_owned()),
            options: vec!["--gpus-per-node=2".to_owned(), "--nice=5".to_owned()],
            ..SlurmTable::default()
        };
        let text = script(&table, false);
        assert!(!text.contains("gpu"), "{text}");
        assert!(text.contains("--nice=5"), "{text}");
    }

    #[test]
    fn the_notice_is_shorter_before_short_limits() {
        for (limit, seconds) in [
            (None, 300),
            (Some("1-0"), 300),
            (Some("10"), 60),
            (Some("1"), 10),
        ] {
            let limit = limit.map(|limit| limit.parse().unwrap());
            assert_eq!(notice(limit).as_secs(), seconds, "{limit:?}");
        }
    }
}
