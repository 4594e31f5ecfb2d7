#!/usr/bin/env python3
"""Reference numbers for crates/stockpot-faces/tests: what other runtimes make of the face models.

Run once in a scratch environment, by hand:

    python3 -m venv /tmp/reference && /tmp/reference/bin/pip install ai-edge-litert numpy
    /tmp/reference/bin/python scripts/reference/face_models.py MODELS_FOLDER

The two TFLite files run in LiteRT, the dlib network in numpy (float64) straight from its
definition. The input is a formula, so that nothing but these small results is kept: every k-th
number of each output.
"""

import json
import pathlib
import sys

import numpy as np
from ai_edge_litert.interpreter import Interpreter

OUT = pathlib.Path(__file__).parents[2] / "crates/stockpot-faces/tests/data"


def pattern(height, width, low, high):
    """`[height, width, 3]`: waves and a blob, the same formula as `pattern` in the Rust test."""
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    u, v = (x + 0.5) / width, (y + 0.5) / height
    wave = np.sin(9.0 * u + 2.0 * c) * np.cos(7.0 * v - c)
    blob = np.exp(-8.0 * ((u - 0.5) ** 2 + (v - 0.45) ** 2))
    unit = np.clip(0.4 + 0.2 * wave + 0.4 * blob, 0.0, 1.0)
    return (low + (high - low) * unit).astype(np.float32)


def run_tflite(path, picture):
    interpreter = Interpreter(model_path=str(path), num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], picture[None])
    interpreter.invoke()
    details = interpreter.get_output_details()
    return [interpreter.get_tensor(d["index"]).ravel() for d in details]


def read_weights(folder):
    groups = json.loads((folder / "face_recognition_model-weights_manifest.json").read_text())
    data = (folder / "face_recognition_model.bin").read_bytes()
    weights, at = {}, 0
    for entry in groups[0]["weights"]:
        count = int(np.prod(entry["shape"]))
        q = entry.get("quantization")
        if q:
            raw = np.frombuffer(data, np.uint8, count, at).astype(np.float64)
            values, at = raw * q["scale"] + q["min"], at + count
        else:
            values, at = np.frombuffer(data, "<f4", count, at).astype(np.float64), at + 4 * count
        weights[entry["name"]] = values.reshape(entry["shape"])
    assert at == len(data)
    return weights


def conv(x, weights, name, stride, same, relu):
    f = weights[f"{name}/conv/filters"]
    k = f.shape[0]
    if same:
        x = np.pad(x, ((k // 2, k // 2), (k // 2, k // 2), (0, 0)))
    h, w = (x.shape[0] - k) // stride + 1, (x.shape[1] - k) // stride + 1
    y = np.zeros((h, w, f.shape[3]))
    for i in range(k):
        for j in range(k):
            y += x[i : i + h * stride : stride, j : j + w * stride : stride][:h, :w] @ f[i, j]
    y += weights[f"{name}/conv/bias"]
    y = y * weights[f"{name}/scale/weights"] + weights[f"{name}/scale/biases"]
    return np.maximum(y, 0) if relu else y


def windows(x, k, stride):
    h, w = (x.shape[0] - k) // stride + 1, (x.shape[1] - k) // stride + 1
    parts = [
        x[i : i + h * stride : stride, j : j + w * stride : stride][:h, :w]
        for i in range(k)
        for j in range(k)
    ]
    return np.stack(parts)


def residual(x, weights, name, down):
    y = conv(x, weights, f"{name}/conv1", 2 if down else 1, not down, True)
    y = conv(y, weights, f"{name}/conv2", 1, True, False)
    if down:
        x = windows(x, 2, 2).mean(0)
        h, w, c = max(x.shape[0], y.shape[0]), max(x.shape[1], y.shape[1]), y.shape[2]
        grow = lambda a: np.pad(a, ((0, h - a.shape[0]), (0, w - a.shape[1]), (0, c - a.shape[2])))
        x, y = grow(x), grow(y)
    return np.maximum(x + y, 0)


def run_dlib(weights, picture):
    x = conv(picture.astype(np.float64), weights, "conv32_down", 2, False, True)
    x = windows(x, 3, 2).max(0)
    names = "conv32_1 conv32_2 conv32_3 conv64_down conv64_1 conv64_2 conv64_3 conv128_down"
    names += " conv128_1 conv128_2 conv256_down conv256_1 conv256_2 conv256_down_out"
    for name in names.split():
        x = residual(x, weights, name, "down" in name)
    return x.mean((0, 1)) @ weights["fc"]


def keep(outputs, strides):
    return [
        {"length": len(o), "stride": s, "values": [float(f"{v:.8g}") for v in o[::s]]}
        for o, s in zip(outputs, strides)
    ]


def main():
    folder = pathlib.Path(sys.argv[1])
    detector = run_tflite(folder / "face_detection_full_range.tflite", pattern(192, 192, -1, 1))
    mesh = run_tflite(folder / "face_landmark.tflite", pattern(192, 192, 0, 1))
    embedding = run_dlib(read_weights(folder), pattern(150, 150, -0.45, 0.55))
    results = {
        "detector": keep(detector, [97, 11]),
        "landmarks": keep(mesh, [7, 1]),
        "identity": keep([embedding], [1]),
    }
    OUT.mkdir(parents=True, exist_ok=True)
    for name, outputs in results.items():
        text = json.dumps({"outputs": outputs}) + "\n"
        (OUT / f"{name}.json").write_text(text)
        print(name, [o["length"] for o in outputs], len(text), "bytes")


main()
