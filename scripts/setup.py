#!/usr/bin/env python3
"""Finds or installs libtorch 2.11 and makes the link target/libtorch to it.

The first of these that exists is used:
  1. the folder in the environment variable LIBTORCH
  2. torch 2.11, if `python3` can import it
  3. torch 2.11 in the project's .venv, where pip installs it if necessary:
     1.3 GB on a machine without an NVIDIA GPU, 4.7 GB on a machine with one

`.cargo/config.toml` sets LIBTORCH to the link, so cargo and editors need nothing else.
Does nothing if the link is right. Needs only Python 3.10 and its standard library.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

TORCH = "2.11.0"  # the version that the crate `tch` in Cargo.toml is built for
ROOT = Path(__file__).resolve().parent.parent
LINK = ROOT / "target" / "libtorch"
VENV = ROOT / ".venv"
LIBRARY = "libtorch_cpu.dylib" if sys.platform == "darwin" else "libtorch_cpu.so"

# The libraries that the CPU part of the wheel loads. The wheel's other dependencies are for GPUs.
WITHOUT_GPU = ["--no-deps", f"torch=={TORCH}", "nvidia-cuda-runtime==13.0.96", "nvidia-cuda-cupti==13.0.85"]
WITH_GPU = [f"torch=={TORCH}"]


class Problem(Exception):
    """A problem that the user can fix. The message says how."""


def main() -> int:
    try:
        check_tools()
        libtorch, origin = find()
        changed = link_to(libtorch)
    except Problem as problem:
        print(f"setup: {problem}", file=sys.stderr)
        return 1
    print(f"setup: libtorch {version_of(libtorch)} from {origin}{'' if changed else ' (as before)'}")
    return 0


def check_tools() -> None:
    if sys.version_info < (3, 10):
        found = ".".join(map(str, sys.version_info[:2]))
        raise Problem(f"this is Python {found}, but 3.10 or newer is needed; run `python3.X scripts/setup.py` with one")
    if not shutil.which("cargo"):
        raise Problem("cargo is not on the PATH; install Rust with rustup, or add ~/.cargo/bin to the PATH")
    if not any(shutil.which(name) for name in (os.environ.get("CXX", "c++").split()[0], "c++", "g++", "clang++")):
        raise Problem("no C++ compiler found; on Debian and Ubuntu: sudo apt install g++")


def find() -> tuple[Path, str]:
    """Returns the folder of a usable libtorch, and a description of its origin."""
    named = os.environ.get("LIBTORCH")
    if named and Path(named).absolute() != LINK:
        return given(Path(named)), "$LIBTORCH"
    linked = already_linked()
    if linked:
        return linked, "its own .venv" if VENV in linked.parents else "an earlier setup"
    importable = importable_torch()
    if importable:
        return importable, "the Python torch at " + str(importable)
    return own_venv(), "its own .venv"


def given(path: Path) -> Path:
    fault = fault_of(path) or loading_fault(path)
    if fault:
        raise Problem(
            f"LIBTORCH={path} cannot be used: {fault}.\n"
            f"  Set it to a libtorch {TORCH} for C++, or run `unset LIBTORCH` to have one installed"
        )
    if wants_cuda() and not has_cuda(path):
        print(f"setup: warning: LIBTORCH={path} cannot use this machine's GPU", file=sys.stderr)
    return path.resolve()


def already_linked() -> Path | None:
    if not LINK.exists():
        return None
    path = LINK.resolve()
    if fault_of(path) or (wants_cuda() and not has_cuda(path)):
        return None
    if VENV in path.parents and not installed_whole():
        return None
    return path


def importable_torch() -> Path | None:
    code = "import importlib.util as u; s = u.find_spec('torch'); print(s.submodule_search_locations[0] if s else '')"
    python = shutil.which("python3") or sys.executable
    answer = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False).stdout.strip()
    if not answer:
        return None
    path = Path(answer).resolve()
    fault = fault_of(path) or loading_fault(path)
    if not fault and wants_cuda() and not has_cuda(path):
        fault = "it cannot use this machine's GPU"
    if fault:
        print(f"setup: not using the Python torch at {path}: {fault}")
    return None if fault else path


def own_venv() -> Path:
    if not installed_whole():
        install()
    path = site_packages() / "torch"
    fault = fault_of(path) or loading_fault(path)
    if fault:
        raise Problem(f"the torch in .venv cannot be used: {fault}; reinstall it: rm -rf .venv && make setup")
    return path


def install() -> None:
    packages, gigabytes = (WITH_GPU, 10) if wants_cuda() else (WITHOUT_GPU, 3)
    free = shutil.disk_usage(ROOT).free / 1e9
    if free < gigabytes:
        raise Problem(f"installing torch takes {gigabytes} GB, but the disk has {free:.1f} GB free; free some space")
    pip = make_venv()
    print(f"setup: installing torch {TORCH} into .venv {'for GPUs' if wants_cuda() else 'for the CPU'}, once")
    # pip takes an interrupted installation for a complete one: hence --ignore-installed.
    command = [*pip, "install", "--disable-pip-version-check", "--ignore-installed", *packages]
    if subprocess.run(command, check=False).returncode != 0:
        raise Problem(
            f"pip failed to install torch {TORCH}; see its message above.\n"
            f"  Without a network: copy libtorch {TORCH} for C++ here and `export LIBTORCH=/its/folder`.\n"
            f"  If torch {TORCH} does not support this Python ({sys.version.split()[0]}), use one from 3.10 to 3.14.\n"
            "  Then: make setup"
        )


def make_venv() -> list[str]:
    """Creates or repairs .venv, and returns the command that runs its pip."""
    python = VENV / "bin" / "python"
    if works(str(python), "-m", "pip", "--version"):
        return [str(python), "-m", "pip"]
    if works(sys.executable, "-c", "import venv, ensurepip"):
        if subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=False).returncode == 0:
            return [str(python), "-m", "pip"]
        raise Problem("python3 -m venv .venv failed; see its message above. Try: rm -rf .venv && make setup")
    # Debian splits Python: without python3-venv, python3-pip can still install into the environment.
    bare = works(sys.executable, "-m", "pip", "--version")
    if bare and works(sys.executable, "-m", "venv", "--without-pip", str(VENV)):
        return [sys.executable, "-m", "pip", "--python", str(python)]
    raise Problem("this Python cannot create virtual environments; on Debian and Ubuntu: sudo apt install python3-venv")


def works(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def installed_whole() -> bool:
    """True if pip finished the installation: it writes RECORD last."""
    packages = ["torch", "nvidia_cuda_runtime"] + (["nvidia_cudnn*", "nvidia_nccl*"] if wants_cuda() else [])
    if sys.platform != "linux":
        packages = ["torch"]
    return all(list(site_packages().glob(f"{name}-*.dist-info/RECORD")) for name in packages)


def site_packages() -> Path:
    return next(iter(sorted(VENV.glob("lib/python3*/site-packages"))), VENV / "lib" / "site-packages")


def wants_cuda() -> bool:
    """True on a machine with a GPU, and with `CUDA=1`, for a login node without one; `CUDA=0` means the CPU."""
    if os.environ.get("CUDA") in ("0", "1"):
        return os.environ["CUDA"] == "1"
    return Path("/dev/nvidia0").exists() or Path("/proc/driver/nvidia/version").exists()


def has_cuda(libtorch: Path) -> bool:
    return (libtorch / "lib" / "libtorch_cuda.so").exists()


def fault_of(libtorch: Path) -> str | None:
    """Returns what is wrong with the files of a libtorch folder, or None."""
    if not libtorch.is_dir():
        return "the folder does not exist"
    if not (libtorch / "lib" / LIBRARY).exists():
        return f"it has no lib/{LIBRARY}"
    if not (libtorch / "include" / "torch" / "csrc" / "api" / "include" / "torch" / "torch.h").exists():
        return "it has no C++ headers in include/"
    version = version_of(libtorch)
    if version is None:
        return "its version is unknown"
    if version.split("+")[0] != TORCH:
        return f"it is version {version}, not {TORCH}"
    return None


def loading_fault(libtorch: Path) -> str | None:
    """Loads the library, and returns the error of the system, or None."""
    try:
        ctypes.CDLL(str((libtorch / "lib" / LIBRARY).resolve()))
    except OSError as error:
        return f"lib/{LIBRARY} cannot be loaded ({error})"
    return None


def version_of(libtorch: Path) -> str | None:
    for file, pattern in (
        ("build-version", r"^\s*(\d\S+)"),
        ("version.py", r"__version__ = '([^']+)'"),
    ):
        found = re.search(pattern, text_of(libtorch / file))
        if found:
            return found[1]
    for file in ("include/torch/headeronly/version.h", "include/torch/csrc/api/include/torch/version.h"):
        parts = [
            re.search(rf"#define TORCH_VERSION_{part} (\d+)", text_of(libtorch / file))
            for part in ("MAJOR", "MINOR", "PATCH")
        ]
        if all(parts):
            return ".".join(part[1] for part in parts)
    return None


def text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def link_to(libtorch: Path) -> bool:
    """Makes the link. Returns True if it changed."""
    before = os.readlink(LINK) if LINK.is_symlink() else None
    if before == str(libtorch):
        return False
    if LINK.exists() and not LINK.is_symlink():
        raise Problem(f"{LINK} is in the way; remove it: rm -rf {LINK}")
    LINK.parent.mkdir(exist_ok=True)
    new = LINK.with_name("libtorch.new")
    new.unlink(missing_ok=True)
    new.symlink_to(libtorch)
    os.replace(new, LINK)
    if before:
        forget_builds()
    return True


def forget_builds() -> None:
    """Removes what was built with another libtorch. Cargo does not notice that the link leads elsewhere."""
    for profile in ([], ["--release"]):
        packages = [part for name in ("torch-sys", "dml", "trainer") for part in ("--package", name)]
        subprocess.run(["cargo", "clean", "--quiet", *profile, *packages], cwd=ROOT, check=False, capture_output=True)


if __name__ == "__main__":
    sys.exit(main())
