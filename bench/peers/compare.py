"""Our training step and PyTorch's in turn, A B A B, on the 2018 network at 64 px.

compare.py --python VENV/bin/python [--batch 16] [--precision f32 bf16] [--rounds 5] [--turns 3]
           [--also compiled keras]

Needs our example in release mode (`cargo build --release -p stockpot-train --example step_speed`)
and a Python that has torch (`python3 -m venv DIR && DIR/bin/pip install torch numpy`), outside the
repository. PyTorch runs twice: as installed, and with memory kept between steps (glibc told not to
give freed memory back), which is what makes it fast here. `--also` adds torch.compile (needs a C++
compiler) and Keras on TensorFlow (`pip install tensorflow-cpu`), both with memory kept.

Prints the machine, every command, and for each contender the median, the best and the worst of all
rounds in pairs/s (one face of either person). Ours is a whole step with loss (L1 and MS-SSIM),
Adam and the running mean of weights; PyTorch's has L1 and fused Adam, and two optimiser steps.
The load of the machine is printed before each turn: ratios from a busy machine mean little.
"""
import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
KEPT = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "34359738368"}


def processor():
    try:
        info = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor()
    name = re.search(r"model name\s*:\s*(.*)", info)
    flags = [f for f in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if f" {f} " in info]
    return f"{name.group(1) if name else '?'}, {os.cpu_count()} cores, {' '.join(flags)}"


def run(command, extra):
    done = subprocess.run(
        command, env={**os.environ, **extra}, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", required=True, help="a Python that has torch")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--precision", nargs="+", default=["f32", "bf16"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--turns", type=int, default=3)
    ours = ROOT / "target/release/examples/step_speed"
    parser.add_argument("--ours", default=str(ours), help="our example step_speed")
    parser.add_argument("--also", nargs="*", default=[], choices=["compiled", "keras"])
    args = parser.parse_args()
    print(f"machine: {processor()}")
    print(f"system: {platform.platform()}")
    for precision in args.precision:
        numbers = [str(args.batch), precision, str(args.rounds)]
        torch = [args.python, str(HERE / "torch_classic.py"), *numbers]
        contenders = {
            "stockpot": ([args.ours, "classic-4x1024", *numbers, "--json"], {}),
            "PyTorch, memory kept": (torch, KEPT),
            "PyTorch as installed": (torch, {}),
        }
        if "compiled" in args.also:
            contenders["PyTorch compiled, memory kept"] = ([*torch, "--compile"], KEPT)
        if "keras" in args.also:
            keras = [args.python, str(HERE / "keras_classic.py"), *numbers]
            contenders["Keras on TensorFlow, memory kept"] = (keras, KEPT)
        secs = {name: [] for name in contenders}
        for name, (command, extra) in contenders.items():
            words = [f"{k}={v}" for k, v in extra.items()] + command
            print(f"{name}: {' '.join(words)}")
        for turn in range(args.turns):
            load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
            print(f"{precision}, turn {turn + 1} of {args.turns}, load {load:.1f}", flush=True)
            for name, (command, extra) in contenders.items():
                found = run(command, extra)
                secs[name] += found["secs"]
                middle = args.batch / statistics.median(found["secs"])
                print(f"  {name}: {middle:.2f} pairs/s ({found['what']})", flush=True)
        base = statistics.median(secs["stockpot"])
        for name, values in secs.items():
            middle = statistics.median(values)
            rates = [args.batch / v for v in (middle, min(values), max(values))]
            print(
                "{} batch {} {}: median {:.2f} pairs/s, best {:.2f}, worst {:.2f}; "
                "stockpot is {:.2f} times as fast".format(
                    precision, args.batch, name, *rates, middle / base
                )
            )


if __name__ == "__main__":
    main()
