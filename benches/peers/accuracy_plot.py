"""Makes `accuracy_margin.svg` from `accuracy_margin.csv`: the cross entropy's relative error by the target's margin.

    python benches/peers/accuracy_plot.py
"""

import csv
import math
from collections import defaultdict
from pathlib import Path

HERE = Path(__file__).parent
WIDTH, HEIGHT = 780, 440
LEFT, RIGHT, TOP, BOTTOM = 60, 170, 40, 50
LOWEST, HIGHEST = -8, 0.4  # powers of ten
LAST = 86

# Legible on white and on black.
STYLE = """
text { font: 13px sans-serif; fill: #6e7781; }
.title { font-size: 15px; font-weight: bold; }
.grid { stroke: #8b949e; stroke-opacity: 0.3; }
.line { fill: none; stroke-linejoin: round; }
@media (prefers-color-scheme: dark) { text { fill: #c9d1d9; } }
"""
# Name in the data, colour and width, from below: most of them lie on each other.
LINES = [
    ("candle", "#d4a72c", 11),
    ("burn", "#a475f9", 8),
    ("ONNX Runtime", "#39c5cf", 5.5),
    ("JAX", "#218bff", 3.5),
    ("PyTorch", "#e5534b", 1.8),
    ("losslanes", "#2da44e", 2.5),
]


def read():
    curves = defaultdict(list)
    with open(HERE / "accuracy_margin.csv", newline="") as file:
        for row in csv.DictReader(file):
            curves[row["implementation"]].append((float(row["margin"]), float(row["worst relative error"])))
    return curves


def x_of(margin):
    return LEFT + margin / LAST * (WIDTH - LEFT - RIGHT)


def y_of(error):
    share = (math.log10(max(error, 10**LOWEST)) - LOWEST) / (HIGHEST - LOWEST)
    return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def axes():
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    title = "Cross entropy of 10 classes: relative error by the target’s margin"
    yield f'<text class="title" x="{LEFT}" y="22">{title}</text>'
    for power in range(LOWEST, math.floor(HIGHEST) + 1):
        y = y_of(10.0**power)
        yield f'<line class="grid" x1="{LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}"/>'
        yield f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{f"1e{power}" if power else "1"}</text>'
    for margin in range(0, LAST + 1, 10):
        x = x_of(margin)
        yield f'<line class="grid" x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{bottom}"/>'
        yield f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{margin}</text>'
    middle = (LEFT + right) / 2
    yield f'<text x="{middle}" y="{HEIGHT - 10}" text-anchor="middle">the target’s logit above the best of the others</text>'


def curves(data):
    x = WIDTH - RIGHT + 12
    for i, (name, colour, width) in enumerate(LINES):
        line = f'class="line" stroke="{colour}" stroke-width="{width}"'
        points = " ".join(f"{x_of(margin):.1f},{y_of(error):.1f}" for margin, error in data[name])
        y = TOP + 24 * (len(LINES) - i)
        yield f'<polyline {line} points="{points}"/>'
        yield f'<line {line} x1="{x}" y1="{y}" x2="{x + 30}" y2="{y}"/>'
        yield f'<text x="{x + 38}" y="{y + 4}">{name}</text>'


def main():
    body = "\n".join([*axes(), *curves(read())])
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">'
    svg = f"{head}\n<style>{STYLE}</style>\n{body}\n</svg>\n"
    (HERE / "accuracy_margin.svg").write_text(svg)


if __name__ == "__main__":
    main()
