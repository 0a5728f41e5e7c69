"""The table of `cargo run`, with PyTorch, eager and compiled, on one thread: ns per element, the shortest of many calls.

    pip install torch==2.15.0 numpy                        # in a virtual environment; compiling needs g++
    taskset -c 1 python benches/peers/pytorch.py           # everything, in some minutes
    SECONDS=1 taskset -c 1 python benches/peers/pytorch.py ce_grad/ softmax    # some cases, less noise

First runs the Rust table, on the same core and with the same words as arguments, so that the ratio to losslanes is that of
one run. A case `…_grad` is the loss and its gradient with respect to the input. Results are compared with those in
float64. The data have the distribution of the benchmarks', not the same bits. (As `torch.py`, this file would be what it
imports.)
"""

import os
import subprocess
import sys
import time
from pathlib import Path

# Before torch is imported, which reads them.
os.environ.update(OMP_NUM_THREADS="1", TORCHINDUCTOR_COMPILE_THREADS="1")

import torch
from torch.nn import functional as F

SECONDS = float(os.environ.get("SECONDS", "0.3"))
BATCH = 200_000  # ns: far above the resolution of the clock


def classes(*shape):
    rows = (shape[0], *shape[2:])
    return logits(*shape), torch.randint(shape[1], rows)


def logits(*shape):
    return 3 * torch.randn(shape)


def binary(*shape):
    return logits(*shape), torch.rand(shape).round()


def probabilities(*shape):
    x, targets = binary(*shape)
    return x.sigmoid(), targets


CLASSES = {
    "1x1000": (1, 1000),
    "65536x2": (65536, 2),
    "65536x10": (65536, 10),
    "8192x100": (8192, 100),
    "4096x1000": (4096, 1000),
    "256x32000": (256, 32000),
    "64x128256": (64, 128256),
    "nchw": (2, 21, 256, 256),
}
LOSSES = {
    **{f"ce/{name}": (F.cross_entropy, classes, shape) for name, shape in CLASSES.items()},
    "bce_logits/100000": (F.binary_cross_entropy_with_logits, binary, (1, 100_000)),
    "bce/100000": (F.binary_cross_entropy, probabilities, (1, 100_000)),
}


def softmax(x):
    return F.softmax(x, 1)


def log_softmax(x):
    return F.log_softmax(x, 1)


def only_logits(*shape):
    return (logits(*shape),)


KERNELS = {
    "exp/100000": (torch.exp, only_logits, (1, 100_000)),
    "sigmoid/100000": (torch.sigmoid, only_logits, (1, 100_000)),
    "softplus/100000": (F.softplus, only_logits, (1, 100_000)),
    "log_sigmoid/100000": (F.logsigmoid, only_logits, (1, 100_000)),
    "softmax/1x1000": (softmax, only_logits, (1, 1000)),
    "softmax/100x1000": (softmax, only_logits, (100, 1000)),
    "log_softmax/1x1000": (log_softmax, only_logits, (1, 1000)),
    "log_softmax/100x1000": (log_softmax, only_logits, (100, 1000)),
}


def with_grad(loss):
    def run(x, targets):
        x = x.detach().requires_grad_()
        value = loss(x, targets)
        return value.detach(), torch.autograd.grad(value, x)[0]

    return run


def forward(function):
    return torch.no_grad()(function)


def cases():
    """By name: what is computed, how, and the arguments' kind and shape."""
    grad = {}
    for name, (function, data, shape) in LOSSES.items():
        group, size = name.split("/")
        grad[f"{group}_grad/{size}"] = function, with_grad, data, shape
    return grad | {name: (function, forward, data, shape) for name, (function, data, shape) in (LOSSES | KERNELS).items()}


def right(results, expected):
    results, expected = ([x] if isinstance(x, torch.Tensor) else x for x in (results, expected))
    return all(torch.allclose(x.double(), y, rtol=1e-3, atol=1e-9) for x, y in zip(results, expected, strict=True))


def shortest(run, arguments):
    """In ns per call."""
    calls = 1
    while batch(run, arguments, calls) < BATCH:
        calls *= 2
    end = time.monotonic() + SECONDS
    best = batch(run, arguments, calls)
    while time.monotonic() < end:
        best = min(best, batch(run, arguments, calls))
    return best / calls


def batch(run, arguments, calls):
    start = time.process_time_ns()
    for _ in range(calls):
        run(*arguments)
    return time.process_time_ns() - start


def times(function, mode, arguments):
    """Eager and compiled; None where a result is wrong."""
    double = [x.double() if x.is_floating_point() else x for x in arguments]
    expected = mode(function)(*double)
    # One compiled function for each shape.
    torch.compiler.reset()
    for function in (function, torch.compile(function, dynamic=False)):
        run = mode(function)
        # The first call compiles.
        yield shortest(run, arguments) / arguments[0].numel() if right(run(*arguments), expected) else None


def rust_table(words):
    """The lines of the table of `cargo run`: its head, and the others by their case."""
    command = ["cargo", "run", "--quiet", "--release", "--features", "burn", "--", "--seconds", str(SECONDS), *words]
    done = subprocess.run(command, cwd=Path(__file__).parent, stdout=subprocess.PIPE, text=True, check=True)
    head, rule, *lines = [line for line in done.stdout.splitlines() if line.startswith("|")]
    return head, rule, {line.split("|")[1].strip(): line for line in lines}


def cell(time, base):
    text = "wrong" if time is None else f"{time:.3f} ({time / base:.1f}×)"
    return f" {text:>15} |"


def main():
    torch.set_num_threads(1)
    torch.manual_seed(0)
    words = sys.argv[1:]
    head, rule, lines = rust_table(words)
    print(f"ns per element on one thread (× the time of losslanes); torch {torch.__version__}\n")
    print(head + "".join(f" {name:>15} |" for name in ("PyTorch", "compiled")))
    print(rule + 2 * f" {'---:':>15} |", flush=True)
    for name, line in lines.items():
        function, mode, data, shape = cases()[name]
        base = float(line.split("|")[2])
        print(line + "".join(cell(time, base) for time in times(function, mode, data(*shape))), flush=True)


if __name__ == "__main__":
    main()
