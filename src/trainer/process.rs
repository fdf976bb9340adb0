//! The executable around [`run`](crate::run): arguments, standard streams, threads and exit codes.

use std::{
    ffi::OsString,
    fs,
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use schema::{Attempt, Description, Event, PROTOCOL};

use crate::{End, Stop, device, parent_watch};

const USAGE: &str = "\
One attempt at one job of a sweep: a recipe in, events out.

Usage: sweep-trainer ATTEMPT.json
       sweep-trainer --describe     who answers and what it can use, as JSON
       sweep-trainer --version
       sweep-trainer --help

Events are JSON objects, one a line, on standard output; the log is on standard error.
If standard input is a pipe, its end kills the process group and a line `stop` writes a checkpoint and leaves.

Exit codes: 0 finished, 1 failed, 2 the attempt cannot be used, 3 stopped as asked.
";

/// The trainer's name and version.
const NAME: &str = concat!("sweep-trainer ", env!("CARGO_PKG_VERSION"));

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    Finished = 0,
    Failed = 1,
    Unusable = 2,
    Stopped = 3,
}

/// Runs the process with these arguments, the program's name left out.
pub fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.collect();
    let exit = match arguments.as_slice() {
        [only] if only == "--help" || only == "-h" => print(USAGE),
        [only] if only == "--version" || only == "-V" => print(&format!("{NAME}\n")),
        [only] if only == "--describe" => describe(),
        [path] if !path.to_string_lossy().starts_with('-') => attempt(Path::new(path)),
        _ => unusable(USAGE),
    };
    ExitCode::from(exit as u8)
}

fn print(text: &str) -> Exit {
    match io::stdout()
        .write_all(text.as_bytes())
        .and_then(|()| io::stdout().flush())
    {
        Ok(()) => Exit::Finished,
        Err(_) => Exit::Failed,
    }
}

fn describe() -> Exit {
    let description = Description {
        protocol: PROTOCOL,
        trainer: NAME.to_owned(),
        libtorch: device::libtorch(),
        cuda_devices: device::count_cuda(),
    };
    print(&format!("{}\n", schema::canonical_json(&description)))
}

fn attempt(path: &Path) -> Exit {
    let attempt = match read(path) {
        Ok(attempt) => attempt,
        Err(why) => {
            return unusable(&format!(
                "cannot use the attempt `{}`: {why}",
                path.display()
            ));
        }
    };
    let stop = Stop::new();
    parent_watch::watch(stop.clone());
    limit_threads(attempt.threads);
    let mut emit = |event| {
        if write(&event).is_err() {
            // Nobody listens: what was computed is worth keeping, going on is not.
            stop.request();
        }
    };
    match crate::run(&attempt, &stop, &mut emit) {
        Ok(End::Finished(finished)) => last(&mut emit, Event::Finished(finished), Exit::Finished),
        Ok(End::Stopped) => Exit::Stopped,
        Err(failed) => last(&mut emit, failed.into(), Exit::Failed),
    }
}

fn read(path: &Path) -> Result<Attempt, String> {
    let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
    let attempt: Attempt = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    if attempt.protocol != PROTOCOL {
        return Err(format!(
            "it speaks protocol {}, this trainer {PROTOCOL}",
            attempt.protocol
        ));
    }
    Ok(attempt)
}

fn last(emit: &mut dyn FnMut(Event), event: Event, exit: Exit) -> Exit {
    emit(event);
    exit
}

fn write(event: &Event) -> io::Result<()> {
    let line = format!("{}\n", serde_json::to_string(event)?);
    let mut output = io::stdout().lock();
    output.write_all(line.as_bytes())?;
    output.flush()
}

/// Both libtorch and image decoding keep to the threads of their slot.
fn limit_threads(threads: u32) {
    let threads = threads.max(1);
    tch::set_num_threads(i32::try_from(threads).unwrap_or(i32::MAX));
    tch::set_num_interop_threads(1);
    if let Err(error) = rayon::ThreadPoolBuilder::new()
        .num_threads(threads as usize)
        .build_global()
    {
        log(&error.to_string());
    }
}

fn unusable(why: &str) -> Exit {
    log(why);
    Exit::Unusable
}

/// Writes a line to the log. Nothing can be done for a log that is gone.
pub(crate) fn log(line: &str) {
    let _ = writeln!(io::stderr(), "{}", line.trim_end());
}
