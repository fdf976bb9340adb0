#!/usr/bin/env bash
# Checks on a machine with a GPU what the tests cannot: that losses and backbones train there, in single precision and
# in bfloat16; that several runs share the GPU; that a killed training continues bit for bit; which operations do not
# give the same bits twice; that evaluation agrees with the CPU's; and how fast it is beside the same in Python.
#
#   scripts/gpu_check.sh [cuda|cpu]     cpu rehearses the checks without a GPU, with less of everything
#
#   BIN=FOLDER      programs that are already built; otherwise they are built for release first
#   PYTHON=PROGRAM  a Python with torch, torchvision and pytorch-metric-learning, by default that of `make golden`
#
# Prints a table at the end. Exits with 1 if a check failed, with 2 if there is no GPU to check.
set -euo pipefail
cd "$(dirname "$0")/.."

device=${1:-cuda}
case $device in
    cuda) long=20000 short=2000 backbones='"resnet50", "bn_inception", "efficientnet_lite0", "vit_s16"' side=128 steps=300 batch=64 ;;
    cpu) long=300 short=100 backbones='"resnet18", "squeezenet"' side=32 steps=6 batch=16 ;;
    *) echo "gpu_check: the device is cuda or cpu, not $device" >&2; exit 2 ;;
esac
# `sweep doctor` uses a GPU wherever there is one.
[ "$device" = cuda ] && visible=${CUDA_VISIBLE_DEVICES-0} || visible=
python=${PYTHON:-.venv-golden/bin/python}
work=target/gpu-check

checks='
quickstart   the quick start trains
backbones    larger backbones train in f32 and bf16, and learn the same
evaluation   what was measured on the device is what the CPU measures, and how long either takes
sharing      runs share the device
resume       a small training killed with -9 continues to the same bits
resume_large the same for a backbone in bf16
determinism  sweep doctor --determinism: which operations differ from time to time
speed        steps per second beside Python, small network
speed_large  the same with ResNet-50'

if [ "$device" = cuda ] && ! nvidia-smi -L >/dev/null 2>&1; then
    printf 'gpu_check: there is no GPU here (nvidia-smi finds none); nothing was checked. With one, it would:\n%s\n' "$checks" >&2
    printf '\n`make gpu-check DEVICE=cpu` rehearses all of them.\n' >&2
    exit 2
fi
rm -rf "$work"
mkdir -p "$work"

if [ -z "${BIN:-}" ]; then
    cargo build --release --workspace
    BIN=target/release
fi

rows=() failed=0 running=
trap '[ -z "$running" ] || kill "$running" 2>/dev/null || true' EXIT

note() { rows+=("$(printf '%-46s %-7s %s' "$1" "$2" "$3")"); printf '%s: %s %s\n' "$1" "$2" "$3"; }
pass() { note "$1" ok "$2"; }
fail() { note "$1" FAILED "$2"; failed=1; }

# begin NAME FILE [MORE...]: starts a sweep with results of its own; what it says goes to $work/NAME.log.
begin() {
    local name=$1 file=$2
    shift 2
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
END
}

models() { (cd "$work/$1/runs" && sha256sum ./*/model.safetensors); }
seconds() { date +%s.%N; }
since() { awk -v from="$1" -v to="$(seconds)" 'BEGIN { printf "%.0f s", to - from }'; }

check_quickstart() {
    local begun
    begun=$(seconds)
    if sweep quickstart sweeps/quickstart.toml; then
        pass "the quick start trains" "$(since "$begun")"
        cat "$work/quickstart.log"
    else
        fail "the quick start trains" "see $work/quickstart.log"
    fi
}

# Each row once in either precision: their MAP@R must not be far apart.
check_backbones() {
    local what="larger backbones train" begun verdict
    begun=$(seconds)
    file_large backbones "$steps" "$backbones" '"f32", "bf16"'
    sweep backbones "$work/backbones.toml" || { fail "$what" "see $work/backbones.log"; return; }
    cat "$work/backbones.log"
    pass "$what" "$(since "$begun")"
    if verdict=$(compared "$work/backbones/runs"); then
        pass "bf16 learns what f32 learns" "$verdict"
    else
        fail "bf16 learns what f32 learns" "$verdict"
    fi
}

# How far apart the runs are that differ in their precision alone; fails if that is much, or one of them is broken.
compared() {
    python3 - "$1" <<'END'
import json, sys
from pathlib import Path

pairs = {}
for path in Path(sys.argv[1]).glob("*/record.json"):
    recipe = json.loads((path.parent / "identity.json").read_text())["recipe"]
    precision = recipe["model"].pop("precision", "f32")
    scores = json.loads(path.read_text())["outcome"]["finished"]["scores"]
    pairs.setdefault(json.dumps(recipe, sort_keys=True), {})[precision] = scores["map@r"]
apart = [abs(pair["f32"] - pair["bf16"]) for pair in pairs.values()]
print(f"MAP@R at most {max(apart):.4f} apart in {len(apart)} pairs")
sys.exit(max(apart) > 0.1)
END
}

# map_at_r FOLDER LOG: what `sweep evaluate` finds for a run.
map_at_r() {
    "$BIN/sweep" evaluate "$1" --metrics map@r --json 2>"$work/$2.log" | sed -n 's/.*"map@r": *\([0-9.e-]*\).*/\1/p'
}

# The same embeddings compared on the CPU, then the same network once more without the embeddings that the device computed.
check_evaluation() {
    local what="evaluation agrees with the CPU's" folder here there
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
        fail "$what" "MAP@R ${there:-?}, ${here:-?} on the CPU; see $work/evaluation.log"
    fi
}

# same_embeddings FOLDER MAP@R: what the device found must be what the CPU finds in the same embeddings, digit by digit.
same_embeddings() {
    local what="the device compares embeddings as the CPU does" here
    here=$(map_at_r "$1" same_embeddings) || true
    if python3 -c 'import sys; sys.exit(float(sys.argv[1]) != float(sys.argv[2]))' "$here" "$2" 2>/dev/null; then
        pass "$what" "MAP@R $here"
    else
        fail "$what" "MAP@R ${2:-?}, ${here:-?} on the CPU; see $work/same_embeddings.log"
    fi
}

# How fast the device is with many embeddings, and whether it finds the same.
check_evaluation_speed() {
    local what="evaluation beside the CPU's"
    if [ "$device" = cpu ] || [ ! -x "$python" ]; then
        note "$what" skipped "needs a GPU and a Python with NumPy"
    elif [ ! -x "$BIN/eval" ] && [ "$BIN" != target/release ]; then
        note "$what" skipped "there is no $BIN/eval, the program of benches/eval.rs"
    elif python3 benches/run.py eval --device cuda $([ -x "$BIN/eval" ] && printf -- '--bin %s' "$BIN") --python "$python" \
        --rounds 1 --no-write >"$work/evaluation_speed.log" 2>&1; then
        pass "$what" "$(sed -n 's/^| SOP, 60,502 x 128 | \([0-9.]*\) | \([0-9.]*\) .*/SOP \1 s, \2 s on the CPU/p' "$work/evaluation_speed.log")"
        sed -n '/^|/p' "$work/evaluation_speed.log"
    else
        fail "$what" "see $work/evaluation_speed.log"
    fi
}

check_sharing() {
    local most=0 now
    file sharing 4 "$short"
    begin sharing "$work/sharing.toml" --set resources.runs_per_gpu=3 --set resources.slots=3
    while kill -0 "$running" 2>/dev/null; do
        now=$(trainers | wc -l)
        if [ "$now" -gt "$most" ]; then most=$now; fi
        sleep 0.1
    done
    if end && [ "$most" -ge 2 ]; then
        pass "runs share the device" "$most at a time"
    else
        fail "runs share the device" "$most at a time; see $work/sharing.log"
    fi
}

# check_resume NAME WHAT STEPS: a trainer is killed at some step after its first checkpoint; the sweep starts it again by
# itself, and the model must have the bits of an undisturbed one.
check_resume() {
    local name=$1 what=$2 steps=$3 step at victim='' resumed
    at=$((steps / 10 + RANDOM % (steps / 2)))
    sweep "undisturbed_$name" "$work/$name.toml" ||
        { fail "$what" "even undisturbed; see $work/undisturbed_$name.log"; return; }
    begin "killed_$name" "$work/$name.toml"
    while [ -z "$victim" ] && kill -0 "$running" 2>/dev/null; do
        step=$(sed -n 's/.*"checkpoint":{"step":\([0-9]*\)}.*/\1/p' "$work/killed_$name"/runs/*/train/0001/events.jsonl \
            2>/dev/null | tail -n 1 || true)
        if [ "${step:-0}" -ge "$at" ]; then victim=$(trainers | head -n 1); fi
        sleep 0.05
    done
    [ -n "$victim" ] && kill -9 "$victim" || { end || true; fail "$what" "it ended before it could be killed"; return; }
    end || true
    resumed=$(sed -n 's/.*"started":{"from":\([0-9]*\)}.*/\1/p' "$work/killed_$name"/runs/*/train/0002/events.jsonl || true)
    if [ "${resumed:-0}" -gt 0 ] && [ "$(models "undisturbed_$name")" = "$(models "killed_$name")" ]; then
        pass "$what" "from step $resumed of $steps, to the same bits"
    else
        fail "$what" "from step ${resumed:-?}; compare the models in $work/undisturbed_$name and $work/killed_$name"
    fi
}

check_resume_small() {
    file resume 1 "$long"
    check_resume resume "a killed training continues" "$long"
}

check_resume_large() {
    local enough=$((steps * 10))
    file_large resume_large "$enough" '"resnet18"' '"bf16"'
    sed -i '/^name = "Proxy Anchor"/,/^loss.proxy_anchor/d' "$work/resume_large.toml"
    sed -i -z 's/\[\[method\]\]\n\[axes\]/[axes]/' "$work/resume_large.toml"
    check_resume resume_large "a killed backbone in bf16 continues" "$enough"
}

# Whether anything differs is told, and in which operation first; that it differs is no failure of this program.
# check_determinism WHAT [FILE]
check_determinism() {
    local what=$1 log="$work/determinism$#.log"
    shift
    if CUDA_VISIBLE_DEVICES=$visible "$BIN/sweep" doctor --determinism "$@" >"$log" 2>&1; then
        cat "$log"
        if grep -q DIFFERENT "$log"; then
            note "$what" differs "$(sed -n 's/^ *the first step alone *//p' "$log")"
        else
            pass "$what" "and stopped and continued"
        fi
    else
        fail "$what" "see $log"
    fi
}

# check_speed WHAT NAME [MORE...]
check_speed() {
    local what=$1 name=$2
    shift 2
    if [ ! -x "$python" ]; then
        note "$what" skipped "needs the packages of \`make golden\`, or PYTHON"
    elif python3 benches/run.py training --device "$device" --bin "$BIN" --python "$python" --no-write "$@" \
        >"$work/$name.log" 2>&1; then
        pass "$what" "$(sed -n 's/^| steps per second | \(.*\) |$/\1/p' "$work/$name.log" | sed 's/ | / and /; s/ | /, ratio /')"
    else
        fail "$what" "see $work/$name.log"
    fi
}

check_quickstart
check_backbones
check_evaluation
check_evaluation_speed
check_sharing
check_resume_small
check_resume_large
check_determinism "the same bits twice"
check_determinism "the same bits twice, larger backbone" "$work/backbones.toml"
check_speed "speed beside Python" speed --steps "$short"
check_speed "speed beside Python, ResNet-50" speed_large --backbone resnet50 --image-size "$side" --batch "$batch" \
    --steps "$((steps > 60 ? steps : 60))"

printf '\n== %s\n' "$device"
printf '%s\n' "${rows[@]}"
exit "$failed"
