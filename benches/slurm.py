#!/usr/bin/env python3
"""Compares 2,000 short runs through `sweep run --on slurm` with one run per array element in plain `sbatch --array`.

Starts a Slurm of its own with two nodes of two fake GPUs (Debian: slurm-wlm, munge), without root. Plain elements run
one `sweep run` each; there are fewer of them, and rates are compared. Prints runs a second of each round, the medians, and
how often `sweep` called Slurm. Then it counts the calls of a sweep of long runs while none of them ends.

    cargo build && python3 benches/slurm.py --bin target/debug
"""

from __future__ import annotations

import argparse
import getpass
import os
import signal
import socket
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

CLIENTS = ["squeue", "sbatch", "scancel", "scontrol"]

SWEEP = """
[sweep]
name = "short"
seeds = SEEDS

[data]
dataset.glyphs = { classes = 8, test_classes = 4, per_class = 4 }

[model]
backbone = "conv4"
embedding = 16

[training]
steps = 2
sampler.m_per_class = { batch = 8 }
optimizer.adam = {}

[[method]]
name = "Triplet"
loss.triplet = { margin = 0.2 }

[resources]
device = "cpu"
slots = 1
"""


class Cluster:
    """Slurm with two nodes on this machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.calls = folder / "calls"
        self.environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
        for name in ("munge", "n1", "n2", "state", "bin"):
            (folder / name).mkdir()
        (folder / "munge").chmod(0o700)
        key = folder / "munge/key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        controller, first, second = free_ports(3)
        user, host = getpass.getuser(), socket.gethostname().split(".")[0]
        node = f"NodeHostname={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=2000 Gres=gpu:2"
        (folder / "slurm.conf").write_text(
            f"""ClusterName=tiny
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,sched_min_interval=0,bf_interval=1,batch_sched_delay=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
MaxArraySize=3001
GresTypes=gpu
NodeName=n1 Port={first} {node}
NodeName=n2 Port={second} {node}
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
        )
        (folder / "gres.conf").write_text("AutoDetect=off\nName=gpu File=/dev/null\nName=gpu File=/dev/zero\n")
        options = ["--force", f"--key-file={key}", f"--socket={folder}/munge.socket", f"--pid-file={folder}/munged.pid"]
        self.run(["munged", *options, f"--log-file={folder}/munged.log", f"--seed-file={folder}/munge/seed"])
        self.run(["slurmctld"])
        for name in ("n1", "n2"):
            self.run(["slurmd", "-N", name])
        while self.run(["sinfo", "-h", "-o", "%D %t"]).strip() != "2 idle":
            time.sleep(0.1)
        self.count_calls()

    def count_calls(self) -> None:
        """Puts a counting stand-in before each client of Slurm."""
        for client in CLIENTS:
            real = subprocess.run(["which", client], check=True, capture_output=True, text=True).stdout.strip()
            script = self.folder / "bin" / client
            script.write_text(f"#!/bin/sh\necho $(date +%s.%N) {client} >> {self.calls}\nexec {real} \"$@\"\n")
            script.chmod(0o755)

    def times_of_calls(self, client: str = "") -> list[float]:
        """Returns when Slurm was called, by one of its clients or by all."""
        calls = [line.split() for line in self.calls.read_text().splitlines()]
        return [float(when) for when, name in calls if client in ("", name)]

    def run(self, command: list[str]) -> str:
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)}: {done.stderr}")
        return done.stdout

    def stop(self) -> None:
        for name in ("slurmd-n1", "slurmd-n2", "slurmctld", "munged"):
            file = self.folder / f"{name}.pid"
            if file.exists():
                os.kill(int(file.read_text()), signal.SIGTERM)


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def start(cluster: Cluster, programs: Path, folder: Path, runs: int, prologue: str = "") -> subprocess.Popen[bytes]:
    """Starts a sweep of so many runs in array elements with a GPU each, and forgets earlier calls of Slurm."""
    file = folder / "sweep.toml"
    # The fake trainer misbehaves with some smaller seeds.
    seeds = list(range(1000, 1000 + runs))
    table = f'on.slurm = {{ gres = "gpu:1", prologue = ["{prologue}"] }}\n'
    file.write_text(SWEEP.replace("SEEDS", str(seeds)) + table)
    cluster.calls.unlink(missing_ok=True)
    environment = {**cluster.environment, "PATH": f"{cluster.folder}/bin:{os.environ['PATH']}"}
    command = [programs / "sweep", "run", file, "--results", folder / "results", "--reports", folder / "reports"]
    return subprocess.Popen([*command, "--trainer", programs / "fake-trainer"], env=environment, cwd=folder)


def through_sweep(cluster: Cluster, programs: Path, folder: Path, runs: int) -> tuple[float, int]:
    """Returns runs a second, and how often Slurm was called."""
    begun = time.monotonic()
    if start(cluster, programs, folder, runs).wait():
        raise SystemExit("the sweep failed")
    seconds = time.monotonic() - begun
    return runs / seconds, len(cluster.times_of_calls())


def calls_while_nothing_ends(cluster: Cluster, programs: Path, folder: Path, seconds: int) -> tuple[int, float, int]:
    """Returns how often Slurm is called after the last array was submitted and before the first run of so many seconds ends,
    the minutes between both, and the most calls within a minute."""
    prologue = f"export FAKE_STEP_MS={seconds * 500}"
    sweep = start(cluster, programs, folder, 4, prologue)
    if sweep.wait():
        raise SystemExit("the sweep failed")
    submitted = cluster.times_of_calls("sbatch")[-1]
    ended = min(record.stat().st_mtime for record in folder.glob("results/runs/*/record.json"))
    calls = [call for call in cluster.times_of_calls() if submitted < call < ended]
    within = [sum(1 for call in calls if first <= call < first + 60) for first in calls]
    return len(calls), (ended - submitted) / 60, max(within, default=0)


def plainly(cluster: Cluster, programs: Path, folder: Path, runs: int) -> float:
    """Returns runs a second of one run per array element."""
    file = folder / "sweep.toml"
    file.write_text(SWEEP.replace("SEEDS", "1"))
    own = f"--results {folder}/r$SLURM_ARRAY_TASK_ID --reports {folder}/p$SLURM_ARRAY_TASK_ID"
    command = f"{programs}/sweep run {file} --set sweep.seeds=[$SLURM_ARRAY_TASK_ID] {own} --trainer {programs}/fake-trainer"
    begun = time.monotonic()
    array = ["sbatch", "--wait", f"--array=0-{runs - 1}", "--gres=gpu:1", f"--chdir={folder}", f"--output={folder}/%a.txt"]
    cluster.run([*array, "--wrap", command])
    seconds = time.monotonic() - begun
    done = len(list(folder.glob("r*/runs/*/record.json")))
    if done != runs:
        raise SystemExit(f"only {done} of {runs} plain runs have a result")
    return runs / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--bin", type=Path, required=True, help="folder with sweep and fake-trainer")
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--plain", type=int, default=100, help="elements of the plain array")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--calm", type=int, default=300, help="seconds of the runs during which calls are counted")
    args = parser.parse_args()
    programs = args.bin.resolve()
    rates, plain_rates = [], []
    with tempfile.TemporaryDirectory() as base:
        (Path(base) / "slurm").mkdir()
        cluster = Cluster(Path(base) / "slurm")
        try:
            for number in range(args.rounds):
                folders = [Path(base) / f"{side}{number}" for side in ("sweep", "plain")]
                for folder in folders:
                    folder.mkdir()
                rate, calls = through_sweep(cluster, programs, folders[0], args.runs)
                plain = plainly(cluster, programs, folders[1], args.plain)
                rates.append(rate)
                plain_rates.append(plain)
                print(f"{rate:.1f} runs a second through sweep with {calls} calls of Slurm, {plain:.1f} plainly: {rate / plain:.1f} x", flush=True)
            folder = Path(base) / "calm"
            folder.mkdir()
            calls, minutes, most = calls_while_nothing_ends(cluster, programs, folder, args.calm)
            print(f"while nothing ended: {calls} calls in {minutes:.1f} minutes, at most {most} within a minute", flush=True)
        finally:
            cluster.stop()
    ratio = statistics.median(rate / plain for rate, plain in zip(rates, plain_rates))
    print(f"medians: {statistics.median(rates):.1f} through sweep, {statistics.median(plain_rates):.1f} plainly, {ratio:.1f} x")


if __name__ == "__main__":
    main()
