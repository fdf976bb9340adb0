#!/usr/bin/env bash
# Checks on a machine with a GPU what the tests cannot: that losses and backbones train there, in single precision and
# in bfloat16; that several runs share the GPU; that a killed training continues bit for bit; which operations do not
# give the same bits twice; that evaluation agrees with the CPU's; and how fast it is beside the same in Python.
#
#   scripts/gpu_check.sh [cuda] [CHECK...]       all checks, or these
#   scripts/gpu_check.sh stand-in [CHECK...]     rehearses them with less of everything on a GPU that is none: the libraries
#                                                of tests/support compute on the CPU what programs give to CUDA
#   scripts/gpu_check.sh cpu [CHECK...]          the same on the CPU
#   scripts/gpu_check.sh pack                    packs the programs for a machine without cargo and network
#
#   BIN=FOLDER      programs that are already built; otherwise they are built for release first
#   PYTHON=PROGRAM  a Python with torch, torchvision and pytorch-metric-learning, by default that of `make golden`
#   SECONDS_LEFT=N  a check begins only if it probably ends within this time; by default 600, in a rehearsal 3600
#
# Prints the table after each check, and before it the figures for benches/README.md, or the end of the log of what
# failed. Exits with 1 if a check failed, with 2 if there is no GPU to check, with 3 if checks are left: the last line says
# how to do these.
#
# On a machine with a GPU and a Python with torch, but without cargo:
#
#   here:   scripts/gpu_check.sh pack          writes target/gpu-pack/gpu-check.tgz
#   there:  tar -xzf target/gpu-pack/gpu-check.tgz -C target/gpu-pack
#           BIN=target/gpu-pack/bin PYTHON=python3 scripts/gpu_check.sh cuda
set -euo pipefail
cd "$(dirname "$0")/.."

device=${1:-cuda}
[ $# = 0 ] || shift
# What there is: a GPU, a stand-in, or the CPU. For `sweep`, a stand-in is a GPU.
machine=$device
[ "$device" != stand-in ] || device=cuda
case $machine in
    pack) ;;
    cuda) long=20000 short=2000 fewer=() embeddings=() beside=() backbones='"resnet50", "bn_inception", "efficientnet_lite0", "vit_s16"' side=128 steps=300 batch=64 ;;
    cpu | stand-in) long=300 short=100 fewer=(--set sweep.seeds=1 --set training.steps=60) embeddings=(--most-images 3000)
        beside=(--python-device cpu --rounds 1) backbones='"resnet18", "squeezenet"' side=32 steps=6 batch=16 ;;
    *) echo "gpu_check: the device is cuda, stand-in or cpu, not $device" >&2; exit 2 ;;
esac
# `sweep doctor` uses a GPU wherever there is one.
[ "$device" = cuda ] && visible=${CUDA_VISIBLE_DEVICES-0} || visible=
python=$(command -v "${PYTHON:-.venv-golden/bin/python}" || true)
work=target/gpu-check

# Each check: its name, how many seconds it takes on a GPU, and what it shows.
checks='
quickstart         120 the quick start trains
backbones          180 larger backbones train in f32 and bf16, and learn the same
evaluation          20 what was measured on the device is what the CPU measures; after quickstart
evaluation_speed    60 how long measuring many embeddings takes, there and on the CPU
sharing             40 runs share the device
resume              40 a small training killed with -9 continues to the same bits
resume_large       120 the same for a backbone in bf16
determinism         30 sweep doctor --determinism: which operations differ from time to time
determinism_large   60 the same with larger backbones; after backbones
speed               90 steps per second beside Python, small network
speed_large        120 the same with ResNet-50'

pack() {
    local into=target/gpu-pack
    cargo build --release --workspace
    cargo build --release --package dml --bench eval
    rm -rf "$into"
    mkdir -p "$into/bin"
    cp target/release/sweep target/release/sweep-trainer "$into/bin/"
    cp "$(ls -t target/release/deps/eval-* | grep -v '\.d$' | head -n 1)" "$into/bin/eval"
    strip "$into"/bin/*
    tar -C "$into" -czf "$into/gpu-check.tgz" bin
    du -h "$into/gpu-check.tgz"
}

if [ "$device" = pack ]; then
    pack
    exit
fi

# The names of all checks, one a line.
names() { awk 'NF { print $1 }' <<<"$checks"; }

chosen=("$@")
[ $# -gt 0 ] || mapfile -t chosen < <(names)
for name in "${chosen[@]}"; do
    names | grep -x -- "$name" > /dev/null || { printf 'gpu_check: there is no check %s; there are:%s\n' "$name" "$checks" >&2; exit 2; }
done

if [ "$machine" = cuda ] && ! nvidia-smi -L >/dev/null 2>&1; then
    printf 'gpu_check: there is no GPU here (nvidia-smi finds none); nothing was checked. With one, it would:\n%s\n' "$checks" >&2
    printf '\n`make gpu-check DEVICE=stand-in` rehearses them.\n' >&2
    exit 2
fi
mkdir -p "$work"

if [ -z "${BIN:-}" ]; then
    python3 scripts/setup.py
    cargo build --release --workspace
    BIN=target/release
fi
# Programs that were built elsewhere find libtorch where Python has it.
if [ ! -e target/libtorch ]; then
    [ -n "$python" ] || { echo "gpu_check: there is no target/libtorch; set PYTHON to a Python with torch" >&2; exit 2; }
    torch=$("$python" -c 'import torch; print(torch.__path__[0])')
    export LD_LIBRARY_PATH=$torch/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
fi

# Compiles the libraries of the driver and of libtorch that stand in for a GPU, and puts them before others.
stand_in() {
    local into=$PWD/$work/stand-in torch
    torch=$(readlink -f target/libtorch)
    mkdir -p "$into"
    cc -shared -fPIC -o "$into/libnvidia-ml.so.1" tests/support/fake_nvml.c
    tests/support/fake_cuda/build.sh "$torch" "$into/libtorch_cuda.so"
    printf '#!/bin/sh\necho "no GPU, but a stand-in"\n' >"$into/nvidia-smi"
    chmod +x "$into/nvidia-smi"
    export FAKE_GPUS=80 PATH=$into:$PATH LD_LIBRARY_PATH=$into${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
}
[ "$machine" != stand-in ] || stand_in

rows=() failed=0 running=
trap '[ -z "$running" ] || kill "$running" 2>/dev/null || true' EXIT

note() { rows+=("$(printf '%-46s %-7s %s' "$1" "$2" "$3")"); }
pass() { note "$1" ok "$2"; }
fail() { note "$1" FAILED "$2"; failed=1; }

# fail_with WHAT NAME [WHY]: also prints the end of the log of NAME, which is all that whoever reads only the output sees.
fail_with() {
    fail "$1" "${3:+$3; }see $work/$2.log"
    printf '\n-- the end of %s:\n' "$work/$2.log"
    tail -n 25 "$work/$2.log"
}

# begin NAME FILE [MORE...]: starts a sweep with results of its own; what it says goes to $work/NAME.log.
begin() {
    local name=$1 file=$2
    shift 2
    rm -rf "${work:?}/$name"
    "$BIN/sweep" run "$file" --set "resources.device=\"$device\"" --results "$work/$name" --reports "$work/$name.reports" \
        "$@" >"$work/$name.log" 2>&1 &
    running=$!
}

# Waits for it, and returns its exit code.
end() {
    local code=0
    wait "$running" || code=$?
    running=
    return "$code"
}

sweep() { begin "$@" && end; }

# The trainers that it is running now, one a line.
trainers() {
    local child
    for child in $(cat "/proc/$running/task"/*/children 2>/dev/null); do
        if [ "$(cat "/proc/$child/comm" 2>/dev/null)" = sweep-trainer ]; then echo "$child"; fi
    done
}

# trainings NAME: how many trainings go on. A trainer that waits for its next attempt is none.
trainings() {
    local attempt count=0
    for attempt in "$work/$1"/runs/*/train/*/; do
        if [ -e "$attempt/events.jsonl" ] && [ ! -e "$attempt/exit.json" ]; then count=$((count + 1)); fi
    done
    echo "$count"
}

# file NAME SEEDS STEPS: a small network with a memory.
file() {
    cat >"$work/$1.toml" <<END
[sweep]
name  = "$1"
seeds = $2
[data]
dataset.glyphs = { classes = 200, test_classes = 100, per_class = 20 }
[model]
backbone  = "conv4"
embedding = 64
[training]
steps               = $3
sampler.m_per_class = { batch = 64 }
optimizer.adam      = { lr = 1e-3 }
[[method]]
name = "Contrastive + XBM"
loss.contrastive = { neg_margin = 0.5 }
memory.xbm       = { size = 1024, start_step = 20 }
[resources]
checkpoint_seconds = 0.2
deterministic      = true
END
}

# file_large NAME STEPS BACKBONES PRECISIONS: larger backbones, images cropped and flipped on the device.
file_large() {
    cat >"$work/$1.toml" <<END
[sweep]
name  = "$1"
seeds = 1
[data]
dataset.glyphs = { classes = 200, test_classes = 50, per_class = 20 }
image_size     = $((side + side / 8))
[transform]
test  = { center_crop = $side }
train = { random_resized_crop = { size = $side, scale = [0.5, 1.0] }, flip = 0.5 }
[model]
backbone   = "conv4"
embedding  = 64
batch_norm = "frozen_statistics"
[training]
steps               = $2
sampler.m_per_class = { batch = $batch }
optimizer.adam      = { lr = 1e-4 }
[[method]]
name = "Multi-similarity"
loss.multi_similarity = {}
[[method]]
name = "Proxy Anchor"
loss.proxy_anchor = {}
[axes]
"model.backbone"  = [$(sed 's/"\([a-z0-9_]*\)"/{ \1 = {} }/g' <<<"$3")]
"model.precision" = [$4]
[resources]
checkpoint_seconds = 0.2
deterministic      = true
END
}

models() { (cd "$work/$1/runs" && sha256sum ./*/model.safetensors); }
seconds() { date +%s.%N; }
since() { awk -v from="$1" -v to="$(seconds)" 'BEGIN { printf "%.0f s", to - from }'; }

check_quickstart() {
    local begun
    begun=$(seconds)
    if sweep quickstart sweeps/quickstart.toml "${fewer[@]}"; then
        pass "the quick start trains" "$(since "$begun")"
        cat "$work/quickstart.log"
    else
        fail_with "the quick start trains" quickstart
    fi
}

# Each row once in either precision: their MAP@R must not be far apart.
check_backbones() {
    local what="larger backbones train" begun verdict
    begun=$(seconds)
    file_large backbones "$steps" "$backbones" '"f32", "bf16"'
    sweep backbones "$work/backbones.toml" || { fail_with "$what" backbones; return; }
    cat "$work/backbones.log"
    pass "$what" "$(since "$begun")"
    if verdict=$(compared "$work/backbones/runs"); then
        pass "bf16 learns what f32 learns" "$verdict"
    else
        fail "bf16 learns what f32 learns" "$verdict"
    fi
}

# How far apart the runs are that differ in their precision alone; fails if that is much, or if one of them is missing or
# broken.
compared() {
    python3 - "$1" <<'END'
import json, sys
from pathlib import Path

pairs = {}
for path in Path(sys.argv[1]).glob("*/identity.json"):
    recipe = json.loads(path.read_text())["recipe"]
    precision = recipe["model"].pop("precision", "f32")
    record = path.with_name("record.json")
    outcome = json.loads(record.read_text())["outcome"] if record.exists() else {}
    score = outcome["finished"]["scores"]["map@r"] if "finished" in outcome else None
    pairs.setdefault(json.dumps(recipe, sort_keys=True), {})[precision] = score
if not pairs:
    sys.exit("there are no runs")
problems = []
for recipe, scores in pairs.items():
    f32, bf16 = scores.get("f32"), scores.get("bf16")
    recipe = json.loads(recipe)
    name = " with ".join(next(iter(part)) for part in (recipe["model"]["backbone"], recipe["training"]["loss"]))
    if f32 is None or bf16 is None:
        problems.append(f"{name}: no score in {'f32' if f32 is None else 'bf16'}")
    elif abs(f32 - bf16) > max(0.03, 0.3 * f32):
        problems.append(f"{name}: MAP@R {f32:.4f} in f32, {bf16:.4f} in bf16")
apart = [abs(scores["f32"] - scores["bf16"]) for scores in pairs.values() if None not in scores.values()]
print("; ".join(problems) or f"MAP@R at most {max(apart):.4f} apart in {len(apart)} pairs")
sys.exit(bool(problems))
END
}

# map_at_r FOLDER LOG: what `sweep evaluate` finds for a run.
map_at_r() {
    "$BIN/sweep" evaluate "$1" --metrics map@r --json 2>"$work/$2.log" | sed -n 's/.*"map@r": *\([0-9.e-]*\).*/\1/p'
}

# The same embeddings compared on the CPU, then the same network once more without the embeddings that the device computed.
check_evaluation() {
    local what="evaluation agrees with the CPU's" folder here there
    if [ ! -d "$work/quickstart/runs" ]; then
        note "$what" skipped "needs quickstart first"
        return
    fi
    for folder in "$work"/quickstart/runs/*/; do
        if [ -f "$folder/record.json" ] && [ -f "$folder/model.safetensors" ]; then break; fi
    done
    there=$(python3 -c 'import json, sys
print(json.load(open(sys.argv[1]))["outcome"]["finished"]["scores"]["map@r"])' "$folder/record.json") || true
    same_embeddings "$folder" "$there"
    rm -f "$folder/embeddings.safetensors"
    here=$(map_at_r "$folder" evaluation) || true
    if awk -v a="${here:-x}" -v b="${there:-y}" 'BEGIN { d = a - b; exit !(a != "x" && b != "y" && d < 1e-3 && -d < 1e-3) }'; then
        pass "$what" "MAP@R $there, $here there"
    else
        fail_with "$what" evaluation "MAP@R ${there:-?}, ${here:-?} on the CPU"
    fi
}

# same_embeddings FOLDER MAP@R: what the device found must be what the CPU finds in the same embeddings, digit by digit.
same_embeddings() {
    local what="the device compares embeddings as the CPU does" here
    here=$(map_at_r "$1" same_embeddings) || true
    if python3 -c 'import sys; sys.exit(float(sys.argv[1]) != float(sys.argv[2]))' "$here" "$2" 2>/dev/null; then
        pass "$what" "MAP@R $here"
    else
        fail_with "$what" same_embeddings "MAP@R ${2:-?}, ${here:-?} on the CPU"
    fi
}

# How fast the device is with many embeddings, and whether it finds the same.
check_evaluation_speed() {
    local what="evaluation beside the CPU's"
    local built=(--bin "$BIN")
    case $BIN in
        target/release | target/debug) [ -x "$BIN/eval" ] || built=(--profile "${BIN#target/}") ;;
    esac
    if [ "$machine" = cpu ] || [ -z "$python" ]; then
        note "$what" skipped "needs a GPU and a Python with NumPy"
    elif [ "${built[0]}" = --bin ] && [ ! -x "$BIN/eval" ]; then
        note "$what" skipped "there is no $BIN/eval, the program of benches/eval.rs"
    elif python3 benches/run.py eval --device cuda "${built[@]}" --python "$python" --rounds 1 "${embeddings[@]}" --no-write \
        >"$work/evaluation_speed.log" 2>&1; then
        pass "$what" "$(sed -n 's/^| SOP, [0-9,]* x 128 | \([0-9.]*\) | \([0-9.]*\) .*/SOP \1 s, \2 s on the CPU/p' "$work/evaluation_speed.log")"
        figures evaluation_speed
    else
        fail_with "$what" evaluation_speed
    fi
}

check_sharing() {
    local most=0 now
    file sharing 4 "$short"
    begin sharing "$work/sharing.toml" --set resources.runs_per_gpu=3 --set resources.slots=3
    while kill -0 "$running" 2>/dev/null; do
        now=$(trainings sharing)
        if [ "$now" -gt "$most" ]; then most=$now; fi
        sleep 0.1
    done
    if end && [ "$most" -ge 2 ]; then
        pass "runs share the device" "$most at a time"
    else
        fail_with "runs share the device" sharing "$most at a time"
    fi
}

# resumed NAME WHAT STEPS: all trainers, of which one trains, are killed at some step after its first checkpoint; the
# sweep starts it again by itself, and the model must have the bits of an undisturbed one.
resumed() {
    local name=$1 what=$2 steps=$3 step at victims='' from
    at=$((steps / 10 + RANDOM % (steps / 2)))
    sweep "undisturbed_$name" "$work/$name.toml" ||
        { fail_with "$what" "undisturbed_$name" "not even undisturbed"; return; }
    begin "killed_$name" "$work/$name.toml"
    while [ -z "$victims" ] && kill -0 "$running" 2>/dev/null; do
        step=$(sed -n 's/.*"checkpoint":{"step":\([0-9]*\)}.*/\1/p' "$work/killed_$name"/runs/*/train/0001/events.jsonl \
            2>/dev/null | tail -n 1 || true)
        if [ "${step:-0}" -ge "$at" ]; then victims=$(trainers); fi
        sleep 0.05
    done
    [ -n "$victims" ] && kill -9 $victims || { end || true; fail_with "$what" "killed_$name" "it ended before it could be killed"; return; }
    end || true
    from=$(sed -n 's/.*"started":{"from":\([0-9]*\)}.*/\1/p' "$work/killed_$name"/runs/*/train/0002/events.jsonl || true)
    if [ "${from:-0}" -gt 0 ] && [ "$(models "undisturbed_$name")" = "$(models "killed_$name")" ]; then
        pass "$what" "from step $from of $steps, to the same bits"
    else
        fail "$what" "from step ${from:-?}; compare the models in $work/undisturbed_$name and $work/killed_$name"
    fi
}

check_resume() {
    file resume 1 "$long"
    resumed resume "a killed training continues" "$long"
}

check_resume_large() {
    local enough=$((steps * 10))
    file_large resume_large "$enough" '"resnet18"' '"bf16"'
    sed -i '/^name = "Proxy Anchor"/,/^loss.proxy_anchor/d' "$work/resume_large.toml"
    sed -i -z 's/\[\[method\]\]\n\[axes\]/[axes]/' "$work/resume_large.toml"
    resumed resume_large "a killed backbone in bf16 continues" "$enough"
}

# Whether anything differs is told, and in which operation first; that it differs is no failure of this program.
# repeated WHAT NAME [FILE]
repeated() {
    local what=$1 name=$2 log="$work/$2.log"
    shift 2
    if CUDA_VISIBLE_DEVICES=$visible "$BIN/sweep" doctor --determinism "$@" >"$log" 2>&1; then
        cat "$log"
        if grep -q DIFFERENT "$log"; then
            note "$what" differs "$(sed -n 's/^ *the first step alone *//p' "$log")"
        else
            pass "$what" "and stopped and continued"
        fi
    else
        fail_with "$what" "$name"
    fi
}

# figures NAME: the table in a log, with the lines that say how it was measured.
figures() { sed -n '/^$/,$p' "$work/$1.log"; }

# beside_python WHAT NAME [MORE...]
beside_python() {
    local what=$1 name=$2
    shift 2
    local rates
    if [ -z "$python" ]; then
        note "$what" skipped "needs the packages of \`make golden\`, or PYTHON"
    elif ! python3 benches/run.py training --device "$device" --bin "$BIN" --python "$python" --no-write "${beside[@]}" "$@" \
        >"$work/$name.log" 2>&1; then
        fail_with "$what" "$name"
    else
        rates=$(sed -n 's/^| steps per second | \(.*\) |$/\1/p' "$work/$name.log" | sed 's/ | / and /; s/ | /, ratio /')
        if [ "$machine" = stand-in ]; then
            pass "$what" "rehearsed: a stand-in has no speed"
        elif awk -v ratio="${rates##* }" 'BEGIN { exit !(ratio < 1) }'; then
            note "$what" slower "$rates"
        else
            pass "$what" "$rates"
        fi
        figures "$name"
    fi
}

check_determinism() { repeated "the same bits twice" determinism; }

check_determinism_large() {
    if [ -f "$work/backbones.toml" ]; then
        repeated "the same bits twice, larger backbone" determinism_large "$work/backbones.toml"
    else
        note "the same bits twice, larger backbone" skipped "needs backbones first"
    fi
}

check_speed() { beside_python "speed beside Python" speed --steps "$short"; }

check_speed_large() {
    beside_python "speed beside Python, ResNet-50" speed_large --backbone resnet50 --image-size "$side" --batch "$batch" \
        --steps "$((steps > 60 ? steps : 60))"
}

# How many seconds a check takes on a GPU.
takes() { awk -v name="$1" '$1 == name { print $2 }' <<<"$checks"; }

begun=$SECONDS
limit=${SECONDS_LEFT:-$([ "$machine" = cuda ] && echo 600 || echo 3600)}
left=()
for name in "${chosen[@]}"; do
    if [ $((SECONDS - begun + $(takes "$name"))) -gt "$limit" ]; then
        left+=("$name")
        continue
    fi
    "check_$name"
    printf '\n== %s, after %s s\n' "$machine" "$((SECONDS - begun))"
    printf '%s\n' "${rows[@]}"
done
if [ ${#left[@]} -gt 0 ]; then
    printf '\nNot done, for lack of time: scripts/gpu_check.sh %s %s\n' "$machine" "${left[*]}"
    [ "$failed" = 1 ] || failed=3
fi
exit "$failed"
