"""How far off the implementations are, on this machine: the numbers of the README's section "Accuracy".

    pip install torch==2.15.0 jax==0.10.2 onnxruntime==1.32.0 onnx==1.23.2 numpy    # in a virtual environment
    python benches/peers/accuracy.py                                                # some minutes, most of it to compile burn

Writes `accuracy_ulp.csv` (the worst error of elementary functions) and `accuracy_margin.csv` (that of the cross entropy
by the target's margin) beside this file. `accuracy_plot.py` makes the picture.
"""

import csv
import os
import subprocess
from pathlib import Path

os.environ.update(JAX_PLATFORMS="cpu")

import jax
import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper
from torch.nn import functional as F

HERE = Path(__file__).parent
CLASSES = 10
ROWS = 200  # for each margin
MARGINS = np.arange(0, 87)
STEP = 1021  # one of so many floats


def rust(implementation):
    """A function of the program in examples/accuracy.rs, or None where it does not have it."""

    def run(function, x):
        program = HERE / "target/release/examples/accuracy"
        result = subprocess.run([program, implementation, function], input=x.tobytes(), capture_output=True)
        return np.frombuffer(result.stdout, np.float32) if result.returncode == 0 else None

    return run


def pytorch(function, x):
    x = torch.from_numpy(x)
    if function == "cross_entropy":
        x = x.reshape(-1, CLASSES)
        return F.cross_entropy(x, torch.zeros(len(x), dtype=torch.int64), reduction="none").numpy()
    functions = {
        "exp": torch.exp,
        "ln": torch.log,
        "sigmoid": torch.sigmoid,
        "softplus": F.softplus,
        "log_sigmoid": F.logsigmoid,
    }
    return functions[function](x).numpy()


def jax_jit(function, x):
    functions = {
        "cross_entropy": lambda x: -jax.nn.log_softmax(x.reshape(-1, CLASSES))[:, 0],
        "exp": jax.numpy.exp,
        "ln": jax.numpy.log,
        "sigmoid": jax.nn.sigmoid,
        "softplus": jax.nn.softplus,
        "log_sigmoid": jax.nn.log_sigmoid,
    }
    return np.asarray(jax.jit(functions[function])(x))


def onnx_runtime(function, x):
    names = {
        "cross_entropy": "SoftmaxCrossEntropyLoss",
        "exp": "Exp",
        "ln": "Log",
        "sigmoid": "Sigmoid",
        "softplus": "Softplus",
    }
    if function not in names:
        return None
    loss = function == "cross_entropy"
    feed = {"x": x.reshape(-1, CLASSES) if loss else x}
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, feed["x"].shape)]
    options = {}
    if loss:
        feed["target"] = np.zeros(len(feed["x"]), np.int64)
        inputs.append(helper.make_tensor_value_info("target", TensorProto.INT64, feed["target"].shape))
        options = {"reduction": "none"}
    node = helper.make_node(names[function], list(feed), ["y"], **options)
    graph = helper.make_graph([node], "g", inputs, [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, feed)[0]


IMPLEMENTATIONS = {
    "losslanes": rust("losslanes"),
    "losslanes, portable": rust("losslanes_portable"),
    "PyTorch": pytorch,
    "JAX": jax_jit,
    "ONNX Runtime": onnx_runtime,
    "candle": rust("candle"),
    "burn": rust("burn"),
    "rten-vecmath": rust("rten"),
    "wide": rust("wide"),
    "Rust std": rust("std"),
}


def softplus(x):
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


EXACT = {
    "exp": np.exp,
    "ln": np.log,
    "sigmoid": lambda x: np.where(x < 0, np.exp(-softplus(-x)), 1 / (1 + np.exp(-np.abs(x)))),
    "log_sigmoid": lambda x: -softplus(-x),
    "softplus": softplus,
}


def floats():
    """Of all sizes and both signs, without NaN."""
    x = np.arange(0, 2**32, STEP, dtype=np.uint64).astype(np.uint32).view(np.float32)
    # Most functions change only here.
    near = np.linspace(-110, 110, 2**22, dtype=np.float32)
    return np.concatenate([x[np.isfinite(x)], near])


def worst_ulp(x, result, exact):
    """Of normal results of normal inputs; and whether subnormal ones are taken for 0."""
    size, smallest = np.abs(exact), np.finfo(np.float32).tiny
    normal_x = np.abs(x) >= smallest
    normal = normal_x & (size >= smallest) & (size <= np.finfo(np.float32).max)
    ulp = 2.0 ** (np.floor(np.log2(size[normal])) - 23)
    error = np.abs(result[normal] - exact[normal]) / ulp
    tiny = (size < smallest) & (size > smallest / 1000)
    lost = result[tiny] == 0, np.isinf(result[~normal_x]) & (x[~normal_x] != 0)
    return error.max(), any(each.any() for each in lost)


def measure_functions():
    with open(HERE / "accuracy_ulp.csv", "w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["implementation", "function", "worst ULP", "subnormal numbers are 0"])
        for function, exact in EXACT.items():
            x = floats()
            x = x[x > 0] if function == "ln" else x
            with np.errstate(all="ignore"):
                expected = exact(x.astype(np.float64))
            for name, implementation in IMPLEMENTATIONS.items():
                result = implementation(function, x)
                if result is not None:
                    error, lost = worst_ulp(x, result.astype(np.float64), expected)
                    table.writerow([name, function, f"{error:.2f}" if error < 100 else f"{error:.0e}", "yes" if lost else "no"])


def rows(generator, margin):
    """Ten logits; the first is the target's, and so much above the best of the others."""
    x = generator.uniform(-5, 0, (ROWS, CLASSES)).astype(np.float32)
    x[:, 0] = x[:, 1:].max(1) + np.float32(margin)
    return x


def measure_losses():
    generator = np.random.default_rng(0)
    logits = np.concatenate([rows(generator, margin) for margin in MARGINS])
    wide = logits.astype(np.float64)
    exact = np.log1p(np.exp(wide[:, 1:] - wide[:, :1]).sum(1)).reshape(len(MARGINS), ROWS)
    with open(HERE / "accuracy_margin.csv", "w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["implementation", "margin", "worst relative error"])
        for name, implementation in IMPLEMENTATIONS.items():
            result = implementation("cross_entropy", logits.ravel())
            if result is not None:
                errors = np.abs(result.reshape(exact.shape).astype(np.float64) - exact) / exact
                for margin, error in zip(MARGINS, errors.max(1), strict=True):
                    table.writerow([name, margin, f"{error:.2e}"])


def main():
    command = ["cargo", "build", "--release", "--features", "burn", "--example", "accuracy"]
    subprocess.run(command, cwd=HERE, check=True)
    measure_functions()
    measure_losses()


if __name__ == "__main__":
    main()
