//! Compiles and opens the library, and reads its counters.

use std::{
    ffi::{CStr, c_char},
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
};

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};

const SOURCE: &str = include_str!("../support/fake_cuda/fake_cuda.cpp");

/// The library, for one test at a time: its counters are those of the process.
pub(crate) struct FakeCuda {
    library: Library,
}

/// What the device did, as far as it was counted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Counts {
    pub(crate) operations: i64,
    pub(crate) waits: i64,
}

/// Opens the library.
pub(crate) fn open() -> MutexGuard<'static, FakeCuda> {
    static OPENED: OnceLock<Mutex<FakeCuda>> = OnceLock::new();
    let opened = OPENED.get_or_init(|| Mutex::new(FakeCuda::load(&compiled())));
    opened.lock().unwrap_or_else(PoisonError::into_inner)
}

impl FakeCuda {
    #[expect(
        unsafe_code,
        reason = "opening a library runs its initializers, which register the CUDA backend"
    )]
    fn load(path: &Path) -> FakeCuda {
        // SAFETY: it was compiled for the libtorch of this process. Its name is that of libtorch's own, which the trainer
        // then finds open.
        let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_GLOBAL) }.unwrap();
        FakeCuda { library }
    }

    /// Returns the result of some work while other processes have taken nearly all memory of the device.
    pub(crate) fn nearly_full<Found>(&self, work: impl FnOnce() -> Found) -> Found {
        self.call::<()>(c"fake_cuda_fill");
        let found = work();
        self.call::<()>(c"fake_cuda_empty");
        found
    }

    /// Returns what the device does during some work, and its report, a line for each counter.
    pub(crate) fn counted(&self, work: impl FnOnce()) -> (Counts, String) {
        self.call::<()>(c"fake_cuda_reset");
        work();
        let counts = Counts {
            operations: self.call(c"fake_cuda_operations"),
            waits: self.call(c"fake_cuda_waits"),
        };
        (counts, self.report())
    }

    #[expect(unsafe_code, reason = "a text of C")]
    fn report(&self) -> String {
        let text = self.call::<*const c_char>(c"fake_cuda_report");
        // SAFETY: the text ends with a zero and lives until the next call.
        let text = unsafe { CStr::from_ptr(text) };
        text.to_string_lossy().into_owned()
    }

    #[expect(unsafe_code, reason = "a function of C")]
    fn call<Value>(&self, name: &CStr) -> Value {
        // SAFETY: all functions of the library take nothing, and callers give the type of the value.
        unsafe {
            let function = self
                .library
                .get::<unsafe extern "C" fn() -> Value>(name.to_bytes());
            function.unwrap()()
        }
    }
}

/// Returns the compiled library. It is compiled again if its source or libtorch is another one.
fn compiled() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fake_cuda");
    let (library, stamp) = (folder.join("libtorch_cuda.so"), folder.join("stamp"));
    let torch = fs::canonicalize(env!("LIBTORCH")).unwrap();
    let wanted = format!("{}\n{SOURCE}", torch.display());
    if fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        return library;
    }
    fs::create_dir_all(&folder).unwrap();
    compile(&torch, &library);
    fs::write(stamp, wanted).unwrap();
    library
}

fn compile(torch: &Path, library: &Path) {
    let script =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/support/fake_cuda/build.sh");
    let done = Command::new(script)
        .args([torch, library])
        .output()
        .unwrap();
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
}
