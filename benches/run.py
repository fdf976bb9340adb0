#!/usr/bin/env python3
"""Measures speed and writes the tables of benches/README.md.

Every figure is the median over alternations (A B A B A B), so that other processes affect both sides alike.
Run it as `make bench`, or `python3 benches/run.py training --device cuda --rounds 5`; `--help` lists the parts.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import pty
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PEER = ROOT / "benches/peers/train.py"
EVAL_PEER = ROOT / "benches/peers/eval.py"
BACKBONES_PEER = ROOT / "benches/peers/backbones.py"
LOSSES_PEER = ROOT / "benches/peers/losses.py"
SEARCH_PEER = ROOT / "benches/peers/search.py"
README = ROOT / "benches/README.md"
GLYPHS = {"glyphs": {"classes": 200, "test_classes": 100, "per_class": 20, "seed": 0}}


def main() -> int:
    args = arguments()
    try:
        for name in args.parts or PARTS:
            measure, packages = PARTS[name]
            if packages and not args.bin:
                build(args, packages)
            table = measure(args)
            print(f"\n{table}")
            if args.write:
                put_into_readme(section_of(name, args), table)
    except (Failed, subprocess.CalledProcessError, OSError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    return 0


class Failed(Exception):
    """A measurement failed."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=help_of_parts(), formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", type=part, metavar="part", help="what to measure; default: all")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of the training")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--backbone", choices=["conv4", "resnet50"], default="conv4", help="of the training")
    parser.add_argument("--backbones", nargs="+", choices=BACKBONES, metavar="NAME", help="those to compare, instead of all")
    parser.add_argument("--image-size", type=int, default=28, help="of the training")
    parser.add_argument("--rounds", type=int, default=3, help="alternations")
    parser.add_argument("--surfaces", type=Path, help="published searches to replay, see benches/peers/search.py")
    parser.add_argument("--runs", type=int, default=3000, help="empty runs that measure the overhead")
    parser.add_argument("--profile", choices=["release", "debug"], default="release")
    parser.add_argument("--bin", type=Path, help="folder with built programs, instead of a profile")
    parser.add_argument("--python", type=Path, default=ROOT / ".venv-golden/bin/python", help="interpreter of the Python side")
    parser.add_argument("--python-device", choices=["cpu", "cuda"], help="of the training there, if it is another one")
    parser.add_argument("--most-images", type=int, help="make larger sets for `eval --device cuda` as small as this")
    parser.add_argument("--no-write", dest="write", action="store_false", help="only print the tables")
    return parser.parse_args()


def part(name: str) -> str:
    if name not in PARTS:
        raise argparse.ArgumentTypeError(f"`{name}` is none of {', '.join(PARTS)}")
    return name


def help_of_parts() -> str:
    parts = (f"  {name:<10} {measure.__doc__.splitlines()[0]}" for name, (measure, _) in PARTS.items())
    return "\n".join(["parts:", *parts])


def build(args: argparse.Namespace, packages: list[str]) -> None:
    release = ["--release"] if args.profile == "release" else []
    named = [part for package in packages for part in ("--package", package)]
    subprocess.run(["cargo", "build", "--quiet", *named, *release], cwd=ROOT, check=True)


def program(args: argparse.Namespace, name: str) -> str:
    return str((args.bin or ROOT / "target" / args.profile) / name)


def bench_program(args: argparse.Namespace, name: str) -> Path:
    """Returns the program of benches/NAME.rs, building it unless --bin is given."""
    if args.bin:
        return args.bin / name
    profile = ["--profile", "bench" if args.profile == "release" else "dev"]
    build = ["cargo", "build", "--quiet", "--workspace", "--bench", name, "--message-format", "json", *profile]
    built = subprocess.run(build, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    messages = (json.loads(line) for line in built.splitlines())
    return next(Path(m["executable"]) for m in messages if m.get("target", {}).get("name") == name and m.get("executable"))


# Training


def training(args: argparse.Namespace) -> str:
    """Steps per second of a training, by sweep-trainer and in Python (peers/train.py)."""
    if not args.python.exists():
        raise Failed("the Python side needs the packages of `make golden`: run that once, or give --python")
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        prepare_glyphs(args, Path(folder), data)
        ours, theirs = [], []
        for number in range(args.rounds):
            ours.append(train_ours(args, Path(folder), data, number))
            theirs.append(train_theirs(args, data))
            print(f"  {ours[-1][0]:.1f} steps/s, Python {theirs[-1][0]:.1f} steps/s", file=sys.stderr)
    rows = [("steps per second", 0, 1), ("seconds from start to end", 1, -1)]
    lines = [
        f"{machine(args)}. {NAMES[args.backbone]} on {args.image_size} px images, contrastive loss, batches of {args.batch}, "
        f"{args.steps} steps, {args.threads} CPU thread{'s' if args.threads > 1 else ''}; medians of {args.rounds} alternations.",
        "",
        "| | sweep-trainer | Python | times better |",
        "| :-- | --: | --: | --: |",
    ]
    for name, column, sign in rows:
        a, b = (statistics.median(values[column] for values in side) for side in (ours, theirs))
        ratios = [(one[column] / other[column]) ** sign for one, other in zip(ours, theirs)]
        lines.append(f"| {name} | {a:.1f} | {b:.1f} | {statistics.median(ratios):.2f} |")
    return "\n".join(lines)


NAMES = {"conv4": "Conv4", "resnet50": "ResNet-50"}


def section_of(part: str, args: argparse.Namespace) -> str:
    if part == "eval" and args.device == "cuda":
        return "eval-cuda"
    return training_section(args) if part == "training" else part


def training_section(args: argparse.Namespace) -> str:
    return f"training-{args.device}" if args.backbone == "conv4" else f"training-{args.backbone}-{args.device}"


def images_of(args: argparse.Namespace) -> dict:
    return {"size": {"square": args.image_size}, "colour": "grey"}


def recipe(args: argparse.Namespace) -> dict:
    backbone = "conv4" if args.backbone == "conv4" else {args.backbone: {}}
    return {
        "dataset": GLYPHS,
        "images": images_of(args),
        "model": {"backbone": backbone, "embedding": 64},
        "training": {
            "loss": {"contrastive": {"pos_margin": 0.0, "neg_margin": 0.5}},
            "sampler": {"m_per_class": {"batch": args.batch, "per_class": 4}},
            "optimizer": {"adam": {"lr": 1e-3}},
            "steps": args.steps,
        },
        "seed": 0,
    }


def prepare_glyphs(args: argparse.Namespace, folder: Path, data: Path) -> None:
    work = {"dataset": GLYPHS, "fingerprint": "0" * 64, "images": images_of(args), "source": None, "into": str(data)}
    trainer(args, folder, {"prepare": work})


def train_ours(args: argparse.Namespace, folder: Path, data: Path, number: int) -> tuple[float, float]:
    work = {"recipe": recipe(args), "data": str(data), "run": str(folder / f"run{number}"), "checkpoint_seconds": 3600.0}
    begun = time.perf_counter()
    events = trainer(args, folder, {"train": work})
    seconds = time.perf_counter() - begun
    progress = [(at, event["progress"]["done"]) for at, event in events if "progress" in event]
    # The first steps are slow; the first progress event comes after them.
    (start, first), (end, last) = progress[min(1, len(progress) - 1)], (events[-1][0], args.steps)
    if last == first or "trained" not in events[-1][1].get("finished", {}):
        raise Failed(f"sweep-trainer ended with {events[-1][1]}; give it more --steps")
    return (last - first) / (end - start), seconds


def train_theirs(args: argparse.Namespace, data: Path) -> tuple[float, float]:
    options = {name: getattr(args, name) for name in ("backbone", "steps", "batch", "threads")}
    options["device"] = args.python_device or args.device
    command = [args.python, PEER, data, *(f"--{name}={value}" for name, value in options.items())]
    begun = time.perf_counter()
    steps_per_second = answer(command)["steps_per_second"]
    return steps_per_second, time.perf_counter() - begun


# As `sweep` sets them for its trainers (src/sweep/run/child.rs).
KEEP_BUFFERS = {"MALLOC_MMAP_THRESHOLD_": "4294967296", "MALLOC_TRIM_THRESHOLD_": "4294967296"}


def trainer(args: argparse.Namespace, folder: Path, work: dict) -> list[tuple[float, dict]]:
    """Runs one attempt and returns its events with the times of their arrival."""
    attempt = {"protocol": 1, "number": 1, "device": args.device, "threads": args.threads, "work": work}
    path = folder / "attempt.json"
    path.write_text(json.dumps(attempt))
    events = []
    with subprocess.Popen(
        [program(args, "sweep-trainer"), path], stdout=subprocess.PIPE, text=True, env=os.environ | KEEP_BUFFERS
    ) as process:
        for line in process.stdout:
            events.append((time.perf_counter(), json.loads(line)))
    if process.returncode != 0:
        raise Failed(f"sweep-trainer exited with {process.returncode}: {events[-1][1] if events else 'no event'}")
    return events


# Heads

THREE_HEADS = [{"width": 12}, {"width": 20}, {"width": 32}]
WITH_DROPOUT = [head | {"dropout": 0.5} for head in THREE_HEADS]
CASCADE = {"shares": [1.0, 0.5, 0.2]}
# For each row of the table: heads and links. The widths add up to the embedding of a recipe.
HEADS = {
    "one head": ([], {}),
    "three heads": (THREE_HEADS, {}),
    "three heads with dropout": (WITH_DROPOUT, {}),
    "three heads, `boost.additive`": (THREE_HEADS, {"boost": {"additive": {}}}),
    "three heads, `boost.average`": (THREE_HEADS, {"boost": "average"}),
    "three heads, `cascade`": (THREE_HEADS, {"cascade": CASCADE}),
    "three heads, `diversity.activation`": (THREE_HEADS, {"diversity": {"activation": {}}}),
    "three heads, `diversity.adversarial`": (THREE_HEADS, {"diversity": {"adversarial": {}}}),
}


def heads(args: argparse.Namespace) -> str:
    """Processor time of a step with several heads and links, and with one head of their width."""
    times = {name: [] for name in HEADS}
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        prepare_glyphs(args, Path(folder), data)
        for number in range(args.rounds):
            for place, (name, (widths, links)) in enumerate(HEADS.items()):
                recipe = recipe_with(args, widths, links)
                times[name].append(processor_time_of_a_step(args, Path(folder), data, recipe, f"{number}-{place}"))
            print(f"  {number + 1} of {args.rounds} rounds", file=sys.stderr)
    lines = [
        f"{machine(args)}. {NAMES[args.backbone]} on {args.image_size} px images, binomial deviance, batches of {args.batch}, "
        f"{args.steps} steps, {args.threads} CPU thread{'s' if args.threads > 1 else ''}; medians of {args.rounds} rounds. Processor time. Heads",
        "of 12, 20 and 32 dimensions, or one of 64. The ratio is to one head in the same round.",
        "",
        "| | milliseconds per step | ratio |",
        "| :-- | --: | --: |",
    ]
    for name, taken in times.items():
        ratio = statistics.median(one / alone for one, alone in zip(taken, times["one head"]))
        lines.append(f"| {name} | {statistics.median(taken):.1f} | {ratio:.2f} |")
    return "\n".join(lines)


def processor_time_of_a_step(args: argparse.Namespace, folder: Path, data: Path, recipe: dict, name: str) -> float:
    """Returns milliseconds: what a training takes longer than one of a single step."""
    taken = {}
    for steps in (1, 1 + args.steps):
        training = recipe["training"] | {"steps": steps}
        run = str(folder / f"{name}-{steps}")
        work = {"recipe": recipe | {"training": training}, "data": str(data), "run": run, "checkpoint_seconds": 3600.0}
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        trainer(args, folder, {"train": work})
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken[steps] = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return 1000 * (taken[1 + args.steps] - taken[1]) / args.steps


def recipe_with(args: argparse.Namespace, heads: list[dict], links: dict) -> dict:
    """Returns the recipe of a training with these heads and links, and a loss that all links allow."""
    plain = recipe(args)
    model = plain["model"] | ({"heads": heads} if heads else {})
    training = plain["training"] | {"loss": {"binomial": {}}} | ({"links": links} if links else {})
    return plain | {"model": model, "training": training}


# Backbones

# Pixels of a side, and the precision.
BACKBONES = {
    "bn_inception": (128, "f32"),
    "resnet50": (128, "f32"),
    "efficientnet_lite0": (128, "f32"),
    "dinov2_s14": (224, "bf16"),
    "dinov2_b14": (224, "bf16"),
    "convnext_t": (224, "bf16"),
    "swin_t": (224, "bf16"),
}
STEPS_OF_A_ROUND = 5
IMAGES_OF_A_STEP = 32


def backbones(args: argparse.Namespace) -> str:
    """Images per second of training a backbone, here and in Python (peers/backbones.py), in turns, step by step."""
    if not args.python.exists():
        raise Failed("the Python side needs the packages of `make golden`: run that once, or give --python")
    bench = bench_program(args, "backbones")
    lines = [
        f"{machine(args)}, {args.threads} CPU thread{'s' if args.threads > 1 else ''}; medians of {STEPS_OF_A_ROUND * args.rounds} steps of each, in turns. Batches of 32 images, batch",
        "norms with frozen statistics, multi-similarity, Adam; PyTorch's defaults there, and its autocast for bf16.",
        "",
        "| | pixels | | images/s | there | times more | times less processor time | peak MiB | there |",
        "| :-- | --: | :-- | --: | --: | --: | --: | --: | --: |",
    ]
    for name in args.backbones or BACKBONES:
        side, precision = BACKBONES[name]
        settings = [name, str(args.threads), str(side), precision]
        ours, theirs = in_turns(
            STEPS_OF_A_ROUND * args.rounds,
            ([bench, *settings], KEEP_BUFFERS),
            ([args.python, BACKBONES_PEER, *settings], {}),
        )
        median = lambda key, side: statistics.median(step[key] for step in side)
        ratio = lambda key: statistics.median(there[key] / here[key] for here, there in zip(ours, theirs))
        rates = [IMAGES_OF_A_STEP / median("seconds", side) for side in (ours, theirs)]
        lines.append(
            f"| {name} | {side} | {precision} | {rates[0]:.1f} | {rates[1]:.1f} | {ratio('seconds'):.2f} | {ratio('processor'):.2f} "
            f"| {ours[-1]['peak_mib']:.0f} | {theirs[-1]['peak_mib']:.0f} |"
        )
        print(f"  {lines[-1]}", file=sys.stderr)
    return "\n".join(lines)


def in_turns(steps: int, *commands: tuple[list, dict[str, str]]) -> list[list[dict]]:
    """Runs programs that do a step for each line of input, in turns. Returns their answers after two warm-up steps."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    programs = [subprocess.Popen(command, cwd=ROOT, env=os.environ | extra, **pipes) for command, extra in commands]
    turns = [[next_step(program) for program in programs] for _ in range(2 + steps)]
    for program in programs:
        program.stdin.close()
        program.wait()
    return [list(side) for side in zip(*turns[2:])]


def next_step(program: subprocess.Popen) -> dict:
    print(file=program.stdin, flush=True)
    # Libraries may print other lines before.
    line = next((line for line in iter(program.stdout.readline, "") if line.startswith("{")), None)
    if line is None:
        raise Failed(f"{program.args} ended too soon")
    return json.loads(line)


# Losses


def losses(args: argparse.Namespace) -> str:
    """Milliseconds of every loss and miner, here and in Python (peers/losses.py)."""
    if not args.python.exists():
        raise Failed("the Python side needs the packages of `make golden`: run that once, or give --python")
    bench = [bench_program(args, "losses"), str(args.threads)]
    ours, theirs = [], []
    for number in range(args.rounds):
        ours.append(times_of(bench))
        theirs.append(times_of([args.python, LOSSES_PEER, str(args.threads)]))
        print(f"  {number + 1} of {args.rounds} rounds", file=sys.stderr)
    ours, theirs = median_times(ours), median_times(theirs)
    cases = {(kind, name): None for kind, name, _ in ours}
    batches = sorted({batch for _, _, batch in ours})
    cell = lambda case: f"{ours[case]:.2f} / {theirs[case]:.2f}" if case in theirs else f"{ours[case]:.2f} / –"
    lines = [
        f"{machine(args)}, {args.threads} CPU thread{'s' if args.threads > 1 else ''}; medians of {args.rounds} alternations.",
        "Milliseconds of processor time here / in pytorch-metric-learning, or in PyTorch alone for names in `_dm`. Left",
        "out there: what it does not have, and larger batches of what took over 100 ms. Memory: batches of 64 and 55,000",
        f"embeddings. {in_short(ours, theirs, batches)}",
        "",
        "| | " + " | ".join(f"batch {batch}" for batch in batches) + " |",
        "| :-- |" + " --: |" * len(batches),
    ]
    for kind, name in cases:
        cells = (cell((kind, name, batch)) if (kind, name, batch) in ours else "" for batch in batches)
        lines.append(f"| {KINDS[kind]} {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def own(args: argparse.Namespace) -> str:
    """Milliseconds of a loss of the user's own and of the built-in one of the same formula, in turns in one process."""
    bench = [bench_program(args, "losses"), str(args.threads), "own"]
    rounds = [cases_of(bench) for _ in range(args.rounds)]
    lines = [
        f"{machine(args)}, {args.threads} CPU thread{'s' if args.threads > 1 else ''}; medians of {args.rounds} rounds of 60 turns.",
        "Milliseconds of processor time of multi-similarity with its gradient.",
        "",
        "| | own | built-in | ratio |",
        "| :-- | --: | --: | --: |",
    ]
    for forms in zip(*rounds):
        kind, batch = forms[0]["kind"], forms[0]["batch"]
        times = " | ".join(f"{statistics.median(case[key] for case in forms):.2f}" for key in ("own", "built_in", "ratio"))
        lines.append(f"| batch {batch}{' and a memory of 55,000' if kind == 'xbm' else ''} | {times} |")
    return "\n".join(lines)


def in_short(ours: dict, theirs: dict, batches: list[int]) -> str:
    """Returns by which factor losses are faster: the geometric mean over those that both sides have."""
    times = lambda batch: [theirs[case] / ours[case] for case in theirs if case[0] == "loss" and case[2] == batch]
    means = ", ".join(f"{statistics.geometric_mean(times(batch)):.1f} for batches of {batch}" for batch in batches if times(batch))
    return f"Losses are faster by a factor of {means} in the geometric mean."


KINDS = {"loss": "loss", "miner": "miner", "regularizer": "regularizer", "xbm": "memory with loss"}


def times_of(command: list) -> dict[tuple[str, str, int], float]:
    return {(case["kind"], case["name"], case["batch"]): case["milliseconds"] for case in cases_of(command)}


def cases_of(command: list) -> list[dict]:
    return [json.loads(line) for line in output_of(command, KEEP_BUFFERS).splitlines() if line.startswith("{")]


def median_times(rounds: list[dict]) -> dict:
    return {case: statistics.median(times[case] for times in rounds if case in times) for case in rounds[0]}


# Search


def search(args: argparse.Namespace) -> str:
    """Regret of the searches here and of Optuna's samplers (peers/search.py)."""
    if not args.python.exists():
        raise Failed("the Python side needs the packages of `make golden`: run that once, or give --python")
    subprocess.run([args.python, "-m", "pip", "install", "--quiet", "optuna==5.0.0"], check=True)
    command = [args.python, "-W", "ignore", SEARCH_PEER, bench_program(args, "search")]
    command += ["--surfaces", args.surfaces] if args.surfaces else []
    return search_table(args, json.loads(output_of(command)))


def search_table(args: argparse.Namespace, answer: dict) -> str:
    searchers = list(next(iter(answer.values())))
    number = len(next(iter(answer.values()))[searchers[0]]["regrets"])
    lines = [
        f"{machine(args)}. Regret after 50 trials, one at a time: the best value there is less the true value of the trial",
        f"with the best observed value; medians over {number} seeds. Below, seconds to suggest a trial, in the mean.",
        "",
        "| | " + " | ".join(searchers) + " |",
        "| :-- |" + " --: |" * len(searchers),
    ]
    for name, results in answer.items():
        cells = (f"{statistics.median(results[searcher]['regrets']):.2g}" for searcher in searchers)
        lines.append(f"| {name} | {' | '.join(cells)} |")
    seconds = (statistics.mean(results[searcher]["seconds_per_trial"] for results in answer.values()) for searcher in searchers)
    lines.append(f"| seconds | {' | '.join(f'{value:.3f}' for value in seconds)} |")
    return "\n".join(lines)


# Evaluation

# Name, images, classes, width, and whether the peer measures it too.
SHAPES = [
    ("CUB", 5_924, 100, 512, True),
    ("SOP", 60_502, 11_316, 128, True),
    ("SOP", 60_502, 11_316, 512, True),
    ("half of SOP", 30_251, 5_658, 128, False),
    ("twice SOP", 121_004, 22_632, 128, False),
]
MILLION = ("10,000 queries in a million", 1_010_000, 100_000, 128)


def evaluation(args: argparse.Namespace) -> str:
    """Seconds and memory of retrieval, here and with faiss (peers/eval.py); with --device cuda, on the GPU and on the CPU."""
    if args.device == "cuda":
        return evaluation_on_gpu(args)
    if not args.python.exists():
        raise Failed("the Python side needs the packages of `make golden`: run that once, or give --python")
    bench = [bench_program(args, "eval")]
    lines = [
        f"{machine(args)}, 2 CPU threads; medians of {args.rounds} alternations. Cosine; Recall@1, 10, 100 and 1000,",
        "P@1, R-Precision and MAP@R here, the last three there. MiB are those above the embeddings. Product: the plain",
        "product in single precision of all embeddings with all, by libtorch.",
        "",
        "| | seconds | MiB | seconds there | MiB there | times faster | product, seconds |",
        "| :-- | --: | --: | --: | --: | --: | --: |",
    ]
    with tempfile.TemporaryDirectory(dir=ROOT / "target") as folder:
        files = [str(Path(folder) / name) for name in ("values", "labels")]
        for name, images, classes, width, paired in SHAPES:
            peer = make_embeddings(args, files, images, classes, width)
            rounds = [(answer([*bench, *files, str(width)]), answer(peer) if paired else None) for _ in range(args.rounds)]
            lines.append(evaluation_row(f"{name}, {images:,} x {width}", rounds))
        name, images, classes, width = MILLION
        make_embeddings(args, files, images, classes, width)
        lines.append(evaluation_row(f"{name} x {width}", [(answer([*bench, *files, str(width), "10000"]), None)]))
    return "\n".join(lines)


def make_embeddings(args: argparse.Namespace, files: list[str], images: int, classes: int, width: int) -> list:
    """Writes embeddings and labels to these files. Returns the command that measures them in Python."""
    peer = [args.python, EVAL_PEER, *files, str(width)]
    subprocess.run([*peer, "--make", str(images), str(classes)], check=True)
    return peer


def evaluation_on_gpu(args: argparse.Namespace) -> str:
    if not args.python.exists():
        raise Failed("making the embeddings needs a Python with NumPy: run `make golden` once, or give --python")
    bench = bench_program(args, "eval")
    threads = {"THREADS": str(os.cpu_count())}
    # The program is not linked with the CUDA library of libtorch.
    there = {"DEVICE": "cuda", "LD_PRELOAD": "libtorch_cuda.so", **threads}
    lines = [
        f"{machine(args)}, {os.cpu_count()} CPU threads; medians of {args.rounds} alternations. Cosine; Recall@1, 10, 100",
        "and 1000, P@1, R-Precision and MAP@R, which are equal to the last bit. Product: the plain product in single",
        "precision of all embeddings with all, on the GPU.",
        "",
        "| | seconds on the GPU | on the CPU | times faster | product, seconds |",
        "| :-- | --: | --: | --: | --: |",
    ]
    with tempfile.TemporaryDirectory(dir=ROOT / "target") as folder:
        files = [str(Path(folder) / name) for name in ("values", "labels")]
        for name, images, classes, width, queries in [(*shape[:4], 0) for shape in SHAPES] + [(*MILLION, 10_000)]:
            part = min(1.0, (args.most_images or images) / images)
            images, classes, queries = (math.ceil(number * part) for number in (images, classes, queries))
            make_embeddings(args, files, images, classes, width)
            command = [bench, *files, str(width), *([str(queries)] if queries else [])]
            rounds = [(answer(command, there), answer(command, threads)) for _ in range(args.rounds)]
            for on_gpu, on_cpu in rounds:
                if any(on_gpu[metric] != on_cpu[metric] for metric in ("recall", "precision_at_1", "r_precision", "map_at_r")):
                    raise Failed(f"{name} scores {on_gpu} on the GPU but {on_cpu} on the CPU")
            on_gpu, on_cpu = ([pair[side]["seconds"] for pair in rounds] for side in (0, 1))
            ratio = statistics.median(cpu / gpu for gpu, cpu in zip(on_gpu, on_cpu))
            product = statistics.median(pair[0]["product_seconds"] for pair in rounds)
            cells = [f"{statistics.median(on_gpu):.3f}", f"{statistics.median(on_cpu):.3f}", f"{ratio:.1f}"]
            cells.append(f"{product:.3f}" if product else "")
            print(f"  {name}: {', '.join(cells)}", file=sys.stderr)
            what = f"{queries:,} queries in {images - queries:,}" if queries else f"{name}, {images:,}"
            lines.append(f"| {what} x {width} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def answer(command: list, environment: dict | None = None) -> dict:
    return json.loads(output_of(command, environment).splitlines()[-1])


def output_of(command: list, environment: dict | None = None) -> str:
    """Returns what a command prints; one that fails is told with the end of what it says."""
    environment = os.environ | (environment or {})
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        raise Failed(f"{command[0]} exited with {done.returncode}:\n{done.stderr[-2000:]}")
    return done.stdout


def evaluation_row(name: str, rounds: list[tuple[dict, dict | None]]) -> str:
    median = lambda key, side: statistics.median(pair[side][key] for pair in rounds)
    cells = [f"{median('seconds', 0):.2f}", f"{median('above_mib', 0):.0f}"]
    if rounds[0][1]:
        for ours, theirs in rounds:
            if abs(ours["map_at_r"] - theirs["map_at_r"]) > 1e-5:
                raise Failed(f"MAP@R of {name} is {ours['map_at_r']} here and {theirs['map_at_r']} there")
        ratio = statistics.median(theirs["seconds"] / ours["seconds"] for ours, theirs in rounds)
        cells += [f"{median('seconds', 1):.2f}", f"{median('above_mib', 1):.0f}", f"{ratio:.1f}"]
    else:
        cells += ["", "", ""]
    product = median("product_seconds", 0)
    cells.append(f"{product:.2f}" if product else "")
    print(f"  {name}: {', '.join(cell for cell in cells if cell)}", file=sys.stderr)
    return f"| {name} | " + " | ".join(cells) + " |"


# Images


def images(args: argparse.Namespace) -> str:
    """Images per second decoded, resized and cropped, here and with torchvision; and loaded from the cache."""
    if not args.python.exists():
        raise Failed("the Python side needs the packages of `make golden`: run that once, or give --python")
    loader = bench_program(args, "loader")
    peer = [args.python, ROOT / "benches/peers/images.py"]
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder) / "photographs"
        subprocess.run([*peer, files, "--make", "600"], check=True)
        bench = [loader, files, "2"]
        ours, theirs = [], []
        for number in range(args.rounds):
            ours.append(rates_of(bench))
            theirs.append(rates_of([*peer, files], {}))
            print(f"  {ours[-1]}, Python {theirs[-1]}", file=sys.stderr)
    rate = lambda side, name: statistics.median(rates[name]["images_per_second"] for rates in side)
    spent = lambda side, name: statistics.median(rates[name]["processor_milliseconds"] for rates in side)
    pairs = [(one["decode"], other["decode"]) for one, other in zip(ours, theirs)]
    faster = statistics.median(here["images_per_second"] / there["images_per_second"] for here, there in pairs)
    less = statistics.median(there["processor_milliseconds"] / here["processor_milliseconds"] for here, there in pairs)
    return "\n".join(
        [
            f"{machine(args)}. Files of 464 x 348 pixels, two threads or workers; medians of {args.rounds} alternations.",
            "Milliseconds are those of processors for an image, which other work on the machine hardly changes. Files: decode,",
            "resize to 256, crop to 224. Cache: random resized crop to 128, flip, normalise.",
            "",
            "| | images/s | torchvision | times more | milliseconds | torchvision | times less |",
            "| :-- | --: | --: | --: | --: | --: | --: |",
            f"| files | {rate(ours, 'decode'):.0f} | {rate(theirs, 'decode'):.0f} | {faster:.2f} "
            f"| {spent(ours, 'decode'):.2f} | {spent(theirs, 'decode'):.2f} | {less:.2f} |",
            f"| cache | {rate(ours, 'loader'):.0f} | | | {spent(ours, 'loader'):.2f} | | |",
        ]
    )


def rates_of(command: list, extra: dict[str, str] = KEEP_BUFFERS) -> dict[str, dict]:
    rates = [json.loads(line) for line in output_of(command, extra).splitlines() if line.startswith("{")]
    return {rate["name"]: rate for rate in rates}


# Overhead


def expansion(args: argparse.Namespace) -> str:
    """Seconds and memory of `sweep plan` for sweeps of 100,000 runs, from the file to the last line."""
    lines = [
        f"{machine(args)}. `sweep plan` of a sweep that was never run; medians of {args.rounds}.",
        "",
        "| 100,000 runs | seconds | processor seconds | MB |",
        "| :-- | --: | --: | --: |",
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.toml"
        for name, seeds, axes in EXPANSIONS:
            path.write_text(NOTHING.replace("RUNS", str(seeds)) + f"[axes]\n{axes}\n")
            command = [program(args, "sweep"), "plan", path, "--results", f"{folder}/results"]
            rounds = [usage_of(command) for _ in range(args.rounds)]
            wall, processor, memory = (statistics.median(values) for values in zip(*rounds))
            lines.append(f"| {name} | {wall:.2f} | {processor:.2f} | {memory:.0f} |")
    return "\n".join(lines)


EXPANSIONS = [
    ("1,000 settings x 100 seeds", 100, '"training.optimizer.adam.lr" = { linspace = [1e-4, 1e-2, 1000] }'),
    (
        "1,000 x 100 settings of the training",
        1,
        '"training.optimizer.adam.lr" = { linspace = [1e-4, 1e-2, 1000] }\n"training.steps" = { range = [100, 1090, 10] }',
    ),
    (
        "1,000 settings of the training x 100 of a loss",
        1,
        '"training.optimizer.adam.lr" = { linspace = [1e-4, 1e-2, 1000] }\n'
        '"method.Contrastive.loss.contrastive.neg_margin" = { linspace = [0.01, 1.0, 100] }',
    ),
    ("100,000 settings of a loss", 1, '"method.Contrastive.loss.contrastive.neg_margin" = { linspace = [0.01, 1.0, 100000] }'),
]


def usage_of(command: list) -> tuple[float, float, float]:
    """Returns seconds, processor seconds and peak memory in MB."""
    begun = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise Failed(f"{command[0]} exited with {process.returncode}")
    return time.perf_counter() - begun, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000


def overhead(args: argparse.Namespace) -> str:
    """Milliseconds of a run that does nothing, in a sweep and as two bare processes."""
    with tempfile.TemporaryDirectory(dir=ROOT / "target") as disk, tempfile.TemporaryDirectory(dir="/dev/shm") as memory:
        # Folders are kept until the end: some file systems slow down after much was removed.
        rounds = [
            [
                sweep_of_nothing(args, Path(disk) / str(number)),
                sweep_of_nothing(args, Path(memory) / str(number)),
                processes_of_nothing(args),
            ]
            for number in range(args.rounds)
        ]
    on_disk, in_memory, alone = (1000 * statistics.median(values) / args.runs for values in zip(*rounds))
    return "\n".join(
        [
            f"{machine(args)}. A sweep of {args.runs:,} runs that do nothing, in two slots: each is trained and measured, and all",
            f"is written that has to survive a power failure; medians of {args.rounds}.",
            "",
            "| milliseconds per run | |",
            "| :-- | --: |",
            f"| in a sweep, from start to end | {on_disk:.1f} |",
            f"| the same with all files in memory | {in_memory:.1f} |",
            f"| two processes that do nothing, one after the other | {alone:.1f} |",
        ]
    )


def finished(args: argparse.Namespace) -> str:
    """Seconds of commands on many finished runs."""
    lines = [
        f"{machine(args)}. Medians of {args.rounds}, in seconds; the files are in memory, and in its cache.",
        "",
        "| finished runs | `sweep status` | `sweep run`, nothing to do | `sweep run`, one run to do |",
        "| --: | --: | --: | --: |",
    ]
    for runs in FINISHED:
        with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
            path = Path(folder) / "nothing.toml"
            # A sweep has at most 100,000 seeds.
            first = runs - args.rounds
            path.write_text(NOTHING.replace("RUNS", str(first)))
            seconds_of([bench_program(args, "finished"), path, f"{folder}/results"], {})
            usual = [path, "--results", f"{folder}/results"]
            run = ["run", *usual, "--reports", f"{folder}/reports", "--trainer", program(args, "fake-trainer")]
            commands = [["status", *usual], run]
            rounds = [[seconds_of([program(args, "sweep"), *command], {}) for command in commands] for _ in range(args.rounds)]
            # One more seed each time.
            for number, times in enumerate(rounds, 1):
                path.write_text(NOTHING.replace("RUNS", str(first + number)))
                times.append(seconds_of([program(args, "sweep"), *run], {}))
            cells = (f"{statistics.median(times):.2f}" for times in zip(*rounds))
            lines.append(f"| {runs:,} | {' | '.join(cells)} |")
    return "\n".join(lines)


FINISHED = [10_000, 100_000]


def events(args: argparse.Namespace) -> str:
    """Processor time of `sweep run` in a terminal while 16 trainers report four events a second each."""
    lines = [
        f"{machine(args)}. Percent of one core that `sweep run` takes in a terminal while 16",
        f"trainers report four events a second each, over {SECONDS_OF_EVENTS} seconds; medians of {args.rounds}.",
        "",
        "| planned runs | percent of a core |",
        "| --: | --: |",
    ]
    for runs in PLANNED:
        shares = [share_of_a_core(args, runs) for _ in range(args.rounds)]
        lines.append(f"| {runs:,} | {100 * statistics.median(shares):.1f} |")
    return "\n".join(lines)


PLANNED = [100, 100_000]
SECONDS_OF_EVENTS = 30


def share_of_a_core(args: argparse.Namespace, runs: int) -> float:
    """Returns the part of a core that a sweep with so many planned runs takes, once all slots train."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        path = Path(folder) / "nothing.toml"
        text = NOTHING.replace("RUNS", str(runs)).replace("steps               = 1", "steps = 100000")
        path.write_text(text.replace("slots   = 1", "slots   = 16"))
        command = [program(args, "sweep"), "run", path, "--results", f"{folder}/results", "--reports", f"{folder}/reports"]
        command += ["--trainer", program(args, "fake-trainer")]
        terminal, screen = pty.openpty()
        threading.Thread(target=read_all, args=(terminal,), daemon=True).start()
        # A step takes half a second and reports a checkpoint and the progress.
        environment = {**os.environ, "TERM": "xterm", "FAKE_STEP_MS": "500"}
        with subprocess.Popen(command, stdout=screen, stderr=screen, env=environment) as sweep:
            os.close(screen)
            while len(list(Path(folder).glob("results/runs/*/train/0001/events.jsonl"))) < 16:
                if sweep.poll() is not None:
                    raise Failed(f"{command[0]} exited with {sweep.returncode}")
                time.sleep(0.1)
            time.sleep(2)
            begun, spent = time.perf_counter(), processor_seconds(sweep.pid)
            time.sleep(SECONDS_OF_EVENTS)
            share = (processor_seconds(sweep.pid) - spent) / (time.perf_counter() - begun)
            sweep.send_signal(signal.SIGINT)
        return share


def read_all(terminal: int) -> None:
    """Reads what a terminal shows, so that nobody waits for it."""
    try:
        while os.read(terminal, 1 << 16):
            pass
    except OSError:
        # The last program that wrote to it has ended.
        os.close(terminal)


def processor_seconds(process: int) -> float:
    """Returns the processor time of a process without its children."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return sum(int(ticks) for ticks in fields[11:13]) / os.sysconf("SC_CLK_TCK")


def report(args: argparse.Namespace) -> str:
    """Seconds and memory of reports of many values, without reading results."""
    lines = [
        f"{machine(args)}. Medians of {args.rounds}, in seconds, and the most memory of the process. Seven metrics, 20 seeds,",
        "four data sets.",
        "",
        "| values | table | Markdown and CSV | statistics | `results.csv` and `.parquet` | together | MB |",
        "| --: | --: | --: | --: | --: | --: | --: |",
    ]
    for values in REPORTED:
        command = [bench_program(args, "report"), str(values // 7)]
        rounds = [json.loads(output_of(command)) for _ in range(args.rounds)]
        parts = [[one["seconds"][part] for part in PARTS_OF_REPORT] for one in rounds]
        columns = [*zip(*parts), [sum(of_round) for of_round in parts]]
        times = [f"{statistics.median(column):.2f}" for column in columns]
        peak = statistics.median(one["peak_mb"] for one in rounds)
        lines.append(f"| {values:,} | {' | '.join(times)} | {peak:.0f} |")
    return "\n".join(lines)


REPORTED = [100_000, 1_000_000]
PARTS_OF_REPORT = ["table", "markdown and CSV", "statistics", "all results"]


def sweep_of_nothing(args: argparse.Namespace, folder: Path) -> float:
    folder.mkdir()
    path = folder / "nothing.toml"
    # The stand-in for the trainer misbehaves for some small seeds.
    seeds = list(range(1000, 1000 + args.runs))
    path.write_text(NOTHING.replace("RUNS", str(seeds)).replace("slots   = 1", "slots   = 2"))
    command = [program(args, "sweep"), "run", path, "--results", folder / "results", "--reports", folder / "reports"]
    command += ["--trainer", program(args, "fake-trainer")]
    return seconds_of(command, {"FAKE_STEP_MS": "0"})


def processes_of_nothing(args: argparse.Namespace) -> float:
    return sum(seconds_of([program(args, "fake-trainer"), "--describe"], {}) for _ in range(2 * args.runs))


def seconds_of(command: list, environment: dict) -> float:
    begun = time.perf_counter()
    output_of(command, environment)
    return time.perf_counter() - begun


NOTHING = """
[sweep]
name  = "nothing"
seeds = RUNS
[data]
dataset.glyphs = { classes = 10, test_classes = 10 }
[model]
backbone  = "conv4"
embedding = 8
[training]
steps               = 1
sampler.m_per_class = { batch = 8 }
optimizer.adam      = {}
[[method]]
name = "Contrastive"
loss.contrastive = {}
[resources]
device  = "cpu"
slots   = 1
threads = 1
"""


# Tables


def machine(args: argparse.Namespace) -> str:
    cpu = next((line.split(":")[1].strip() for line in lines_of("/proc/cpuinfo") if line.startswith("model name")), "")
    where = f"{cpu or platform.machine()}, {os.cpu_count()} cores"
    if args.device == "cuda":
        query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        where = output_of(query).splitlines()[0]
    return f"{where}, {'programs built before' if args.bin else f'{args.profile} build'}"


def lines_of(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def put_into_readme(name: str, table: str) -> None:
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, found, rest = README.read_text().partition(begin)
    if not found:
        raise Failed(f"{README} has no section {name}")
    README.write_text(f"{before}{begin}\n{table}\n{end}{rest.partition(end)[2]}")


# The parts: what measures each, whose docstring is its help, and the packages with the programs that it runs.
PARTS = {
    "training": (training, ["trainer"]),
    "heads": (heads, ["trainer"]),
    "backbones": (backbones, []),
    "losses": (losses, []),
    "own": (own, []),
    "images": (images, []),
    "search": (search, []),
    "eval": (evaluation, []),
    "expansion": (expansion, ["sweep"]),
    "overhead": (overhead, ["sweep"]),
    "events": (events, ["sweep"]),
    "finished": (finished, ["sweep"]),
    "report": (report, ["report"]),
}


if __name__ == "__main__":
    sys.exit(main())
