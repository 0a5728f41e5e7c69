"""PyTorch, eager and compiled, on one thread: ns per element of the benchmarks' cases, the shortest of many calls.

    pip install torch==2.15.0 numpy                        # in a virtual environment; compiling needs g++
    taskset -c 1 python benches/peers/pytorch.py           # everything, in some minutes
    SECONDS=1 taskset -c 1 python benches/peers/pytorch.py ce_grad/ softmax    # some cases, less noise

A case `…_grad` is the loss and its gradient with respect to the input. Results are compared with those in float64. The
data have the distribution of the benchmarks', not the same bits. (As `torch.py`, this file would be what it imports.)
"""

import os
import sys
import time

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
    for name, (function, data, shape) in (LOSSES | KERNELS).items():
        yield name, function, forward, data(*shape)
    for name, (function, data, shape) in LOSSES.items():
        group, size = name.split("/")
        yield f"{group}_grad/{size}", function, with_grad, data(*shape)


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


def cell(function, mode, arguments, expected):
    run = mode(function)
    # The first call compiles.
    if not right(run(*arguments), expected):
        return "wrong"
    return f"{shortest(run, arguments) / arguments[0].numel():.3f}"


def main():
    torch.set_num_threads(1)
    torch.manual_seed(0)
    words = sys.argv[1:]
    print(f"ns per element, the shortest of many calls; one thread; torch {torch.__version__}\n")
    print(f"{'':22} {'eager':>10} {'compiled':>10}", flush=True)
    for name, function, mode, arguments in cases():
        if words and not any(word in name for word in words):
            continue
        double = [x.double() if x.is_floating_point() else x for x in arguments]
        expected = mode(function)(*double)
        # One compiled function for each shape.
        torch.compiler.reset()
        compiled = torch.compile(function, dynamic=False)
        cells = [cell(f, mode, arguments, expected) for f in (function, compiled)]
        print(f"{name:22} {cells[0]:>10} {cells[1]:>10}", flush=True)


if __name__ == "__main__":
    main()
