#!/usr/bin/env bash
# Checks on a machine with a GPU what the tests cannot: that training works there, that several runs share the
# GPU, that a killed training continues bit for bit, and how fast it is beside the same training in Python.
#
#   scripts/gpu_check.sh [cuda|cpu]     cpu rehearses the checks without a GPU
#
#   BIN=FOLDER      programs that are already built; otherwise they are built for release first
#   PYTHON=PROGRAM  a Python with torch and pytorch-metric-learning, by default that of `make golden`
#
# Prints a table at the end. Exits with 1 if a check failed.
set -euo pipefail
cd "$(dirname "$0")/.."

device=${1:-cuda}
case $device in
    cuda) long=20000 short=2000 ;;
    cpu) long=300 short=100 ;;
    *) echo "gpu_check: the device is cuda or cpu, not $device" >&2; exit 2 ;;
esac
python=${PYTHON:-.venv-golden/bin/python}
work=target/gpu-check
rm -rf "$work"
mkdir -p "$work"

if [ -z "${BIN:-}" ]; then
    cargo build --release --workspace
    BIN=target/release
fi

rows=() failed=0 running=
trap '[ -z "$running" ] || kill "$running" 2>/dev/null || true' EXIT

note() { rows+=("$(printf '%-34s %-7s %s' "$1" "$2" "$3")"); printf '%s: %s %s\n' "$1" "$2" "$3"; }
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

# One method, SEEDS seeds, STEPS steps.
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

# A trainer is killed once it is well under way; the sweep starts it again by itself.
check_resume() {
    local what="a killed training continues" step victim='' resumed
    file resume 1 "$long"
    sweep undisturbed "$work/resume.toml" || { fail "$what" "even undisturbed; see $work/undisturbed.log"; return; }
    begin killed "$work/resume.toml"
    while [ -z "$victim" ] && kill -0 "$running" 2>/dev/null; do
        step=$(sed -n 's/.*"checkpoint":{"step":\([0-9]*\)}.*/\1/p' "$work"/killed/runs/*/train/0001/events.jsonl \
            2>/dev/null | tail -n 1 || true)
        if [ "${step:-0}" -gt $((long / 3)) ]; then victim=$(trainers | head -n 1); fi
        sleep 0.05
    done
    [ -n "$victim" ] && kill -9 "$victim" || { end || true; fail "$what" "it ended before it could be killed"; return; }
    end || true
    resumed=$(sed -n 's/.*"started":{"from":\([0-9]*\)}.*/\1/p' "$work"/killed/runs/*/train/0002/events.jsonl || true)
    if [ "${resumed:-0}" -gt 0 ] && [ "$(models undisturbed)" = "$(models killed)" ]; then
        pass "$what" "from step $resumed of $long, to the same bits"
    else
        fail "$what" "from step ${resumed:-?}; compare the models in $work/undisturbed and $work/killed"
    fi
}

check_speed() {
    if [ ! -x "$python" ]; then
        note "speed beside Python" skipped "needs the packages of \`make golden\`, or PYTHON"
    elif python3 benches/run.py training --device "$device" --steps "$short" --bin "$BIN" --python "$python" --no-write \
        >"$work/speed.log" 2>&1; then
        pass "speed beside Python" "$(sed -n 's/^| steps per second | \(.*\) |$/\1/p' "$work/speed.log" | sed 's/ | / and /; s/ | /, ratio /')"
    else
        fail "speed beside Python" "see $work/speed.log"
    fi
}

check_quickstart
check_sharing
check_resume
check_speed

printf '\n== %s\n' "$device"
printf '%s\n' "${rows[@]}"
exit "$failed"
