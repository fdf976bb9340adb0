//! The executable around [`run`](crate::run): arguments, standard streams, threads and exit codes.

use std::{
    ffi::OsString,
    io::{self, Write},
    path::Path,
    process::ExitCode,
    sync::mpsc,
};

use durable::Turn;
use schema::{Attempt, Description, Device, Event, PROTOCOL, Work};
use signals::{SIGTERM, SIGUSR1, SIGXCPU};

use crate::{
    End, Stop, device, heartbeat, host,
    parent_watch::{self, EndAfter, Request},
};

const USAGE: &str = "\
Attempts at jobs of a sweep: a recipe in, events out.

Usage: sweep-trainer ATTEMPT.json
       sweep-trainer --serve cpu|cuda RESULTS
                                    one attempt after another, each at a line `attempt PATH` on standard input
       sweep-trainer --describe     print name, version, libtorch and CUDA devices as JSON
       sweep-trainer --version
       sweep-trainer --help

Events are JSON objects, one a line, on standard output; the log is on standard error.
If standard input is a pipe, its end kills the process group; at a line `stop` the trainer writes a checkpoint, if it
trains, and exits, as at the signals SIGTERM, SIGUSR1 and SIGXCPU. With `--serve`, anything but a finished attempt ends
the process.

Exit codes: 0 finished, 1 failed, 2 the attempt cannot be used, 3 stopped as requested.
";

/// The trainer's name and version, with the commit that it was built from.
const NAME: &str = concat!("sweep-trainer ", env!("VERSION"));

/// The exit codes of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ExitStatus {
    Finished = 0,
    Failed = 1,
    Unusable = 2,
    Stopped = 3,
}

/// Runs the process with these arguments, without the program's name.
pub fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.collect();
    let exit = match arguments.as_slice() {
        [only] if only == "--help" || only == "-h" => print(USAGE),
        [only] if only == "--version" || only == "-V" => print(&format!("{NAME}\n")),
        [only] if only == "--describe" => describe(),
        [first, device, _results] if first == "--serve" => {
            match Device::named(&device.to_string_lossy()) {
                Some(device) => serve(device),
                None => unusable(USAGE),
            }
        }
        [path] if !path.to_string_lossy().starts_with('-') => attempt(Path::new(path)),
        _ => unusable(USAGE),
    };
    ExitCode::from(exit as u8)
}

fn print(text: &str) -> ExitStatus {
    match io::stdout()
        .write_all(text.as_bytes())
        .and_then(|()| io::stdout().flush())
    {
        Ok(()) => ExitStatus::Finished,
        Err(_) => ExitStatus::Failed,
    }
}

fn describe() -> ExitStatus {
    let description = Description {
        protocol: PROTOCOL,
        trainer: NAME.to_owned(),
        libtorch: device::libtorch(),
        cuda_devices: device::count_cuda(),
        serves: true,
    };
    print(&format!("{}\n", schema::canonical_json(&description)))
}

/// Makes one attempt.
fn attempt(path: &Path) -> ExitStatus {
    let attempt = match read(path) {
        Ok(attempt) => attempt,
        Err(why) => return unusable(&why),
    };
    let stop = Stop::new();
    let stopping = stop.clone();
    parent_watch::watch(move |request| match request {
        Request::Stop => stopping.request(),
        Request::Attempt(_) => {}
    });
    let stopping = stop.clone();
    stop_at_signals(move || stopping.request());
    survive_file_limit();
    heartbeat::start(|| write(&Event::Alive {}));
    limit_threads(attempt.device, attempt.threads);
    work(path, &attempt, &stop)
}

/// Makes one attempt after another, as long as each finishes. All have the same number of threads, because that is set
/// once for a process.
fn serve(device: Device) -> ExitStatus {
    let stop = Stop::new();
    let Some(requests) = requests(&stop) else {
        return unusable("`--serve` takes attempts from a pipe");
    };
    survive_file_limit();
    heartbeat::start(|| write(&Event::Alive {}));
    if let Err(failed) = device::open(device) {
        // The first attempt meets the same error, and reports it.
        log(&failed.message);
    }
    let mut threads = None;
    while let Ok(Request::Attempt(path)) = requests.recv() {
        let attempt = match read(&path) {
            Ok(attempt) => attempt,
            Err(why) => return unusable(&why),
        };
        if threads.is_none() {
            limit_threads(device, attempt.threads);
        }
        if attempt.device != device || *threads.get_or_insert(attempt.threads) != attempt.threads {
            let path = path.display();
            return unusable(&format!(
                "the attempt `{path}` needs another device or other threads than this process has"
            ));
        }
        let exit = work(&path, &attempt, &stop);
        let goes_on = exit == ExitStatus::Finished && !stop.requested();
        if !goes_on || !host::forget(device) || write(&Event::Ready {}).is_err() {
            return exit;
        }
    }
    ExitStatus::Stopped
}

/// Returns what the orchestrator asks for; signals count as requests to stop. `None` if there is no orchestrator.
fn requests(stop: &Stop) -> Option<mpsc::Receiver<Request>> {
    let (sender, receiver) = mpsc::channel();
    let stopping = stop.clone();
    let heed = move |request| {
        if request == Request::Stop {
            stopping.request();
        }
        // An error means that the process is about to end.
        let _ = sender.send(request);
    };
    let at_signals = heed.clone();
    let is_watched = parent_watch::watch(heed);
    stop_at_signals(move || at_signals(Request::Stop));
    is_watched.then_some(receiver)
}

/// Does the work of the attempt that is described at `path`, and reports its result.
fn work(path: &Path, attempt: &Attempt, stop: &Stop) -> ExitStatus {
    if let Some(turn) = path.parent().and_then(Turn::of) {
        turn.of_process();
    }
    let saves = matches!(attempt.work, Work::Train(_));
    let _end = (!saves).then(|| EndAfter::new(stop.clone(), ExitStatus::Stopped as i32));
    let mut emit = |event| {
        if write(&event).is_err() {
            // Nobody reads the events: a checkpoint is useful, further work is not.
            stop.request();
        }
    };
    match crate::run(attempt, stop, &mut emit) {
        Ok(End::Finished(finished)) => {
            last(&mut emit, Event::Finished(finished), ExitStatus::Finished)
        }
        Ok(End::Stopped) => ExitStatus::Stopped,
        Err(failed) => last(&mut emit, failed.into(), ExitStatus::Failed),
    }
}

/// Takes the signals of batch systems as requests to stop.
fn stop_at_signals(request: impl FnMut() + Send + 'static) {
    if let Err(error) = signals::watch(&[SIGTERM, SIGUSR1, SIGXCPU], request) {
        log(&format!(
            "signals are not taken as requests to stop: {error}"
        ));
    }
}

fn survive_file_limit() {
    if let Err(error) = signals::survive_file_limit() {
        log(&format!(
            "a file at its limit would end the trainer: {error}"
        ));
    }
}

/// Reads an attempt.
///
/// # Errors
/// With a sentence: it cannot be used.
fn read(path: &Path) -> Result<Attempt, String> {
    let unusable = |why: String| format!("cannot use the attempt `{}`: {why}", path.display());
    let text = durable::read_to_string(path).map_err(|error| unusable(error.to_string()))?;
    let attempt: Attempt =
        serde_json::from_str(&text).map_err(|error| unusable(error.to_string()))?;
    if attempt.protocol != PROTOCOL {
        return Err(unusable(format!(
            "it uses protocol {}, this trainer {PROTOCOL}",
            attempt.protocol
        )));
    }
    Ok(attempt)
}

fn last(emit: &mut dyn FnMut(Event), event: Event, exit: ExitStatus) -> ExitStatus {
    emit(event);
    exit
}

fn write(event: &Event) -> io::Result<()> {
    let line = format!("{}\n", serde_json::to_string(event)?);
    let mut output = io::stdout().lock();
    output.write_all(line.as_bytes())?;
    output.flush()
}

/// Limits libtorch and image decoding to the threads of the slot. On a GPU, one of them keeps the GPU busy while the
/// others decode.
fn limit_threads(device: Device, threads: u32) {
    let threads = threads.max(1);
    let decoding = match device {
        Device::Cpu => threads,
        Device::Cuda => (threads - 1).max(1),
    };
    tch::set_num_threads(i32::try_from(threads).unwrap_or(i32::MAX));
    tch::set_num_interop_threads(1);
    if let Err(error) = rayon::ThreadPoolBuilder::new()
        .num_threads(decoding as usize)
        .build_global()
    {
        log(&error.to_string());
    }
}

fn unusable(why: &str) -> ExitStatus {
    log(why);
    ExitStatus::Unusable
}

/// Writes a line to the log; errors are ignored.
pub(crate) fn log(line: &str) {
    let _ = writeln!(io::stderr(), "{}", line.trim_end());
}
