"""Times the quickstart's training step in fovea and in PyTorch, in turn, and prints medians, spread and ratio.

    tests/bench/compare_speed.py [--rounds N] [--threads N]      needs build/bin/train_clip, torch and safetensors

fovea's step includes what its loader thread takes from the processors (decode, augment, tokenise); PyTorch's runs on one
batch made beforehand. Each round is one process of each, so the peak memory of both is measured too.
"""
import argparse
import json
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]


def run(command):
    """Output of a command and the peak memory of this script's largest child so far, in MB."""
    output = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return output, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def fovea_step(threads):
    with tempfile.TemporaryDirectory() as folder:
        _, memory = run(["build/bin/train_clip", "--config", "examples/configs/quickstart.json", "--output", folder + "/run",
                         "--threads", str(threads), "--set", "train.epochs=3", "--set", 'eval.splits=["val_clipart"]'])
        lines = map(json.loads, pathlib.Path(folder, "run/metrics.jsonl").read_text().splitlines())
        times = [line["step_ms"] for line in lines if "step_ms" in line]
    return statistics.median(times[2:]), memory  # the first lines cover the decoding of the pictures


def torch_step(threads):
    output, memory = run([sys.executable, "tests/bench/torch_train_clip.py", "--bench", "--threads", str(threads), "--steps", "60"])
    return json.loads(output)["step_ms"], memory


def summary(name, values):
    print(f"{name}: median {statistics.median(values):.2f}, from {min(values):.2f} to {max(values):.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    ours, theirs = [], []
    ours_memory = theirs_memory = 0
    for _ in range(arguments.rounds):  # fovea first: its memory must not hide below PyTorch's
        time, memory = fovea_step(arguments.threads)
        ours.append(time)
        ours_memory = ours_memory or memory
        time, memory = torch_step(arguments.threads)
        theirs.append(time)
        theirs_memory = max(theirs_memory, memory)
    summary("fovea, ms per step", ours)
    summary("PyTorch, ms per step", theirs)
    summary("PyTorch / fovea", [b / a for a, b in zip(ours, theirs)])
    print(f"peak memory of a process: fovea {ours_memory:.0f} MB, PyTorch {theirs_memory:.0f} MB")


if __name__ == "__main__":
    main()
