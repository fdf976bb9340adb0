#!/usr/bin/env python3
"""Says by how much golden files differ from those of the last commit: `make golden`, then `python3 scripts/golden_compare.py`.

For each changed file: the largest difference of two numbers, divided by the largest number of their list, and what else
differs. Values in double precision differ by less than 1e-13 from processor to processor, those in single precision by
less than 1e-5, and statistics of batch norm, which adds up thousands of numbers, by less than 1e-2. Modules of TorchScript
are compared without the line numbers and paths of their sources. Files that differ by no more are best restored.
"""

import io
import json
import subprocess
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UNIMPORTANT = ("debug_pkl", "serialization_id")


def main():
    for name in git("diff", "--name-only", "--relative").decode().split():
        if "/testdata/" not in name:
            continue
        before, after = git("show", f"HEAD:{name}"), (ROOT / name).read_bytes()
        print(f"{name}: {difference(name, before, after)}")


def git(*arguments):
    return subprocess.check_output(["git", *arguments], cwd=ROOT)


def difference(name, before, after):
    if name.endswith(".pt"):
        return of_entries(entries(before), entries(after))
    if not name.endswith(".json"):
        return "other bytes"
    found = list(differences(json.loads(before), json.loads(after)))
    others = [text for text in found if isinstance(text, str)]
    largest = max((number for number in found if not isinstance(number, str)), default=0.0)
    return "; ".join([f"{largest:.1e}", *others[:3]])


def entries(archive):
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        return {path.split("/", 1)[1]: opened.read(path) for path in opened.namelist() if not path.endswith(UNIMPORTANT)}


def of_entries(before, after):
    changed = [path for path in sorted(before | after) if before.get(path) != after.get(path)]
    return ", ".join(changed) or "the same program"


def differences(before, after, path=""):
    """Relative differences of numbers, and texts about everything else."""
    if are_numbers(before) and are_numbers(after) and len(before) == len(after):
        scale = max(map(abs, before), default=0) or 1
        yield max((abs(a - b) / scale for a, b in zip(before, after)), default=0.0)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for place, pair in enumerate(zip(before, after)):
            yield from differences(*pair, f"{path}[{place}]")
    elif isinstance(before, dict) and isinstance(after, dict) and before.keys() == after.keys():
        for key in before:
            yield from differences(before[key], after[key], f"{path}.{key}")
    elif is_number(before) and is_number(after):
        yield abs(before - after) / (abs(before) or 1)
    elif before != after:
        yield f"{path} differs"


def are_numbers(value):
    return isinstance(value, list) and all(map(is_number, value))


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


if __name__ == "__main__":
    main()
