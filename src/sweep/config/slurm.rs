//! `[resources] on`: on this machine, or in jobs of the batch system Slurm.

use std::{borrow::Cow, fmt, str::FromStr, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema as schema_of};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use super::{
    fault::{Checked, Fault},
    forms::ByteSize,
};

/// Where a sweep runs.
#[allow(clippy::large_enum_variant, reason = "a sweep has one")]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum On {
    /// On the machine where `sweep run` is called.
    #[default]
    Here,
    /// In array jobs of Slurm, which `sweep run` submits and watches.
    Slurm(SlurmTable),
}

impl On {
    /// True if the sweep runs on the machine where `sweep run` is called.
    pub fn is_here(&self) -> bool {
        matches!(self, On::Here)
    }

    /// The folder on the disk of each node for copies of prepared data, if there are to be some.
    pub fn stage(&self) -> Option<&str> {
        match self {
            On::Here => None,
            On::Slurm(table) => table.stage.as_deref(),
        }
    }

    /// True if its jobs ask Slurm for GPUs.
    pub fn asks_for_gpus(&self) -> bool {
        match self {
            On::Here => false,
            On::Slurm(table) => table.asks_for_gpus(),
        }
    }
}

/// `on.slurm`: what an array element asks for, and how jobs are grouped into elements.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SlurmTable {
    /// The partition; absent: the default one of the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition: Option<String>,
    /// The account that pays.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The quality of service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qos: Option<String>,
    /// The features that a node must have, such as `"a100"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub constraint: Option<String>,
    /// The GPUs of an element, such as `"gpu:1"`, `"gpu:a100:2"` or `"shard:4"`. Data sets are prepared without them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gres: Option<String>,
    /// The time limit of an element, as Slurm writes it: `"4:00:00"`, `"1-12"`. Shortly before it, runs write checkpoints, and the
    /// rest is submitted again. Absent: that of the partition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<TimeLimit>,
    /// CPU cores of an element.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpus: Option<u32>,
    /// Main memory of an element, such as `"32 GB"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<ByteSize>,
    /// The most elements of an array that run at a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub array_limit: Option<u32>,
    /// A folder on the disk of each node, such as `"/local/scratch"` or `"$TMPDIR"`: prepared data is copied there once, and read
    /// from there. Absent: it is read from the results folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// Minutes that the jobs of an element take one after another, as predicted from similar ones that have finished.
    pub chunk: f64,
    /// Lines of shell before the work, such as `"module load cuda"`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub prologue: Vec<String>,
    /// Further options of `sbatch`, such as `"--nice=100"`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
}

impl Default for SlurmTable {
    fn default() -> SlurmTable {
        SlurmTable {
            partition: None,
            account: None,
            qos: None,
            constraint: None,
            gres: None,
            time: None,
            cpus: None,
            memory: None,
            array_limit: None,
            stage: None,
            chunk: 30.0,
            prologue: Vec::new(),
            options: Vec::new(),
        }
    }
}

/// Options of `sbatch` that the program sets itself, or that would keep it from knowing its jobs; with their short forms.
const OWN_OPTIONS: [(&str, &str); 11] = [
    ("--job-name", "-J"),
    ("--array", "-a"),
    ("--output", "-o"),
    ("--error", "-e"),
    ("--wait", "-W"),
    ("--open-mode", ""),
    ("--signal", ""),
    ("--requeue", ""),
    ("--parsable", ""),
    ("--wrap", ""),
    ("--test-only", ""),
];

/// Returns the option among [`OWN_OPTIONS`] that this is. `sbatch` takes the beginning of a long name for it, if no other option
/// begins so, and the value of a short one may follow it at once.
fn own_option(option: &str) -> Option<&'static str> {
    let name = option.split(['=', ' ']).next().unwrap_or_default();
    let is_meant = |(long, short): &&(&str, &str)| match name.starts_with("--") {
        true => name.len() > SHORTEST && long.starts_with(name),
        false => !short.is_empty() && name.starts_with(short),
    };
    OWN_OPTIONS.iter().find(is_meant).map(|(long, _)| *long)
}

/// Fewer letters of a long option could be those of others.
const SHORTEST: usize = "--w".len();

/// True if an option of `sbatch` asks for GPUs. Other generic resources are taken for GPUs, too: no work of the CPU needs them.
pub fn asks_for_gpus(option: &str) -> bool {
    let names = ["--gpu", "--gres", "--tres", "-G"];
    names.iter().any(|name| option.starts_with(name)) && !option.starts_with("--gres-flags")
}

/// Returns the number of nodes that an option asks for, if it is about that.
fn nodes_asked_for(option: &str) -> Option<&str> {
    let count = option
        .strip_prefix("--nodes")
        .or_else(|| option.strip_prefix("-N"))?;
    Some(count.trim_start_matches(['=', ' ']))
}

impl SlurmTable {
    fn asks_for_gpus(&self) -> bool {
        self.gres.is_some() || self.options.iter().any(|option| asks_for_gpus(option))
    }

    /// What is wrong about the settings.
    pub(super) fn check(&self) -> Checked {
        let refuse = |key: &str, message: String, hint: &str| {
            Err(Fault {
                key: format!("resources.on.slurm.{key}"),
                message,
                hint: Some(hint.to_owned()),
            })
        };
        if !(self.chunk.is_finite() && self.chunk > 0.0) {
            let message = "expected minutes above 0".to_owned();
            return refuse("chunk", message, "write, for example, `chunk = 30`");
        }
        if self.array_limit == Some(0) {
            let message = "no element could ever run".to_owned();
            return refuse("array_limit", message, "write at least 1, or leave it out");
        }
        if self.cpus == Some(0) {
            let message = "an element needs a core".to_owned();
            return refuse("cpus", message, "write at least 1, or leave it out");
        }
        if let Some(stage) = &self.stage
            && !stage.starts_with(['/', '$'])
        {
            let message = format!("`{stage}` is no folder that each node has for itself");
            return refuse(
                "stage",
                message,
                "write, for example, `stage = \"/local/scratch\"` or `stage = \"$TMPDIR\"`",
            );
        }
        for (index, option) in self.options.iter().enumerate() {
            let key = format!("options.{index}");
            if !option.starts_with('-') || option.contains('\n') {
                let message = format!("`{option}` is no option of sbatch");
                return refuse(&key, message, "write, for example, `--nice=100`");
            }
            if let Some(name) = own_option(option) {
                let message = format!("`sweep` sets `{name}` itself: remove it");
                return refuse(&key, message, "arrays are known by their names");
            }
            if nodes_asked_for(option).is_some_and(|count| count != "1" && count != "1-1") {
                let message = "an element works on one node: remove it".to_owned();
                return refuse(
                    &key,
                    message,
                    "elements use many nodes; `array_limit` bounds how many run at a time",
                );
            }
        }
        Ok(())
    }
}

/// A time limit as Slurm writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeLimit(Duration);

impl TimeLimit {
    /// The time itself.
    pub fn duration(self) -> Duration {
        self.0
    }
}

impl FromStr for TimeLimit {
    type Err = String;

    /// Reads `minutes`, `minutes:seconds`, `hours:minutes:seconds`, `days-hours`, `days-hours:minutes` and
    /// `days-hours:minutes:seconds`.
    fn from_str(text: &str) -> Result<TimeLimit, String> {
        let wrong = || format!("`{text}`, expected a time limit such as \"4:00:00\" or \"1-12\"");
        let (days, rest) = match text.split_once('-') {
            Some((days, rest)) => (Some(days), rest),
            None => (None, text),
        };
        let parts = rest.split(':').map(str::parse::<u64>);
        let parts: Vec<u64> = parts.collect::<Result<_, _>>().map_err(|_| wrong())?;
        let (hours, minutes, seconds) = match (days, parts.as_slice()) {
            (None, &[minutes]) => (0, minutes, 0),
            (None, &[minutes, seconds]) => (0, minutes, seconds),
            (Some(_), &[hours]) => (hours, 0, 0),
            (Some(_), &[hours, minutes]) => (hours, minutes, 0),
            (_, &[hours, minutes, seconds]) => (hours, minutes, seconds),
            _ => return Err(wrong()),
        };
        let days: u64 = days.unwrap_or("0").parse().map_err(|_| wrong())?;
        let hours = days
            .checked_mul(24)
            .and_then(|days| days.checked_add(hours));
        let minutes = hours.and_then(|hours| hours.checked_mul(60)?.checked_add(minutes));
        let seconds = minutes.and_then(|minutes| minutes.checked_mul(60)?.checked_add(seconds));
        match seconds {
            Some(seconds @ 1..) => Ok(TimeLimit(Duration::from_secs(seconds))),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for TimeLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let (days, hours) = (seconds / 86_400, seconds / 3600 % 24);
        let (minutes, seconds) = (seconds / 60 % 60, seconds % 60);
        match days {
            0 => write!(f, "{hours}:{minutes:02}:{seconds:02}"),
            days => write!(f, "{days}-{hours:02}:{minutes:02}:{seconds:02}"),
        }
    }
}

impl<'de> Deserialize<'de> for TimeLimit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

impl Serialize for TimeLimit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for TimeLimit {
    fn schema_name() -> Cow<'static, str> {
        "TimeLimit".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        schema_of!({ "type": "string", "pattern": "^([0-9]+-)?[0-9]+(:[0-9]+){0,2}$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_limits_are_read_in_all_forms_of_slurm() {
        for (text, seconds) in [
            ("90", 5400),
            ("1:30", 90),
            ("4:00:00", 14_400),
            ("1-12", 129_600),
            ("1-0:30", 88_200),
            ("2-03:04:05", 183_845),
        ] {
            let limit: TimeLimit = text.parse().unwrap();
            assert_eq!(limit.duration().as_secs(), seconds, "{text}");
            assert_eq!(limit.to_string().parse(), Ok(limit), "{limit}");
        }
        for text in [
            "",
            "0",
            "4h",
            "1:2:3:4",
            "-1",
            "1-",
            "99999999999999999999",
            "1-2:3:4:5",
        ] {
            assert!(text.parse::<TimeLimit>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_option_that_would_hide_the_jobs_is_refused_at_its_place() {
        let table = SlurmTable {
            options: vec!["--nice=5".to_owned(), "--job-name=mine".to_owned()],
            ..SlurmTable::default()
        };
        let fault = table.check().unwrap_err();
        assert_eq!(fault.key, "resources.on.slurm.options.1");
    }

    #[test]
    fn options_of_sbatch_are_known_in_all_their_forms() {
        for own in [
            "--job-name=mine",
            "--job-name mine",
            "--job=mine",
            "-J mine",
            "-Jmine",
            "-a 0-3",
            "--arr=0-3",
            "-o out.txt",
            "--wait",
            "-W",
            "--wrap=true",
            "--test-only",
        ] {
            assert!(own_option(own).is_some(), "{own}");
        }
        for other in [
            "--nice=5",
            "--nodelist=n1",
            "-w n1",
            "-x n2",
            "--exclude=n2",
            "--account=a",
            "-A a",
            "--exclusive",
            "--hold",
            "--no-kill",
            "--export=ALL",
            "-C a100",
            "--wckey=a",
            "--time-min=5",
        ] {
            assert_eq!(own_option(other), None, "{other}");
            assert_eq!(nodes_asked_for(other), None, "{other}");
        }
        for two in ["--nodes=2", "--nodes 2", "-N2", "-N 2"] {
            assert_eq!(nodes_asked_for(two), Some("2"), "{two}");
        }
    }

    #[test]
    fn an_element_without_gres_asks_for_no_gpu() {
        let with = |options: &[&str]| SlurmTable {
            options: options.iter().map(|&option| option.to_owned()).collect(),
            ..SlurmTable::default()
        };
        assert!(!On::Slurm(with(&["--nice=5"])).asks_for_gpus());
        for option in [
            "--gpus=2",
            "-G 2",
            "--gres=gpu",
            "--gres=shard:2",
            "--gpus-per-node=2",
            "--tres-per-task=gres/gpu:1",
        ] {
            assert!(On::Slurm(with(&[option])).asks_for_gpus(), "{option}");
        }
        assert!(!On::Here.asks_for_gpus());
    }
}
