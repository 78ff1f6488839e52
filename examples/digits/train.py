#!/usr/bin/env python3
"""Trains a small digit classifier and writes it as a model directory.

    python train.py --epochs 1  --version 1.0 --out model-1.0
    python train.py --epochs 60 --version 1.1 --out model-1.1

A perceptron with one hidden layer (64-32-10) on the 8 x 8 digits that scikit-learn ships. Everything
random comes from one seed and the arithmetic runs on one thread, so a second run on the same machine
writes the same bytes. Another CPU or numpy may round differently in the last bit of a weight.

`heldout.safetensors`, beside this file, is the part of the data that training never sees; it is
written too, so that `predict.py` needs neither scikit-learn nor the same split again.
"""

import argparse
import json
import os
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"  # must be set before numpy is imported: more threads sum in another order

import numpy as np
from safetensors.numpy import save_file
from sklearn.datasets import load_digits

from predict import accuracy, predict

HERE = Path(__file__).resolve().parent
SEED = 20260101
HIDDEN = 32
HELD_OUT = 360
BATCH = 32
LEARNING_RATE = 0.05
MOMENTUM = 0.9
WEIGHT_DECAY = 1e-4


def split():
    """The digits, shuffled once: (training images, training labels, held-out images, held-out labels)."""
    digits = load_digits()
    order = np.random.default_rng(SEED).permutation(len(digits.target))
    images = digits.data[order].astype(np.uint8)
    labels = digits.target[order].astype(np.uint8)
    return images[HELD_OUT:], labels[HELD_OUT:], images[:HELD_OUT], labels[:HELD_OUT]


def train(images, labels, epochs):
    """Stochastic gradient descent with momentum on the cross entropy; returns the weights."""
    random = np.random.default_rng(SEED + 1)
    classes = 10
    inputs = images.astype(np.float32) / 16.0
    targets = np.eye(classes, dtype=np.float32)[labels]

    def layer(fan_in, fan_out):
        return (random.standard_normal((fan_in, fan_out)) * np.sqrt(2.0 / fan_in)).astype(np.float32)

    weights = {
        "hidden.weight": layer(inputs.shape[1], HIDDEN),
        "hidden.bias": np.zeros(HIDDEN, np.float32),
        "output.weight": layer(HIDDEN, classes),
        "output.bias": np.zeros(classes, np.float32),
    }
    speed = {name: np.zeros_like(value) for name, value in weights.items()}

    for _ in range(epochs):
        order = random.permutation(len(inputs))
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            x, target = inputs[batch], targets[batch]
            hidden = np.maximum(x @ weights["hidden.weight"] + weights["hidden.bias"], 0)
            logits = hidden @ weights["output.weight"] + weights["output.bias"]
            exponent = np.exp(logits - logits.max(axis=1, keepdims=True))
            error = (exponent / exponent.sum(axis=1, keepdims=True) - target) / len(batch)
            back = (error @ weights["output.weight"].T) * (hidden > 0)
            gradients = {
                "hidden.weight": x.T @ back + WEIGHT_DECAY * weights["hidden.weight"],
                "hidden.bias": back.sum(axis=0),
                "output.weight": hidden.T @ error + WEIGHT_DECAY * weights["output.weight"],
                "output.bias": error.sum(axis=0),
            }
            for name, gradient in gradients.items():
                speed[name] = (MOMENTUM * speed[name] - LEARNING_RATE * gradient).astype(np.float32)
                weights[name] += speed[name]
    return weights


def card(version, epochs, measured):
    """The model card: front matter that a model hub reads, then words for a person."""
    return f"""---
license: apache-2.0
library_name: numpy
pipeline_tag: image-classification
tags:
- digits
- mlp
- safetensors
datasets:
- sklearn-digits
metrics:
- accuracy
model-index:
- name: digits
  results:
  - task:
      type: image-classification
    dataset:
      type: sklearn-digits
      name: Optical Recognition of Handwritten Digits
      split: held-out
    metrics:
    - type: accuracy
      value: {measured["accuracy"]}
---
# Digits {version}

Tells the ten digits apart in 8 x 8 grey images: a perceptron with one hidden layer of {HIDDEN} units
(64-{HIDDEN}-10, ReLU), {measured["parameters"]:,} parameters, trained for {epochs} {"epoch" if epochs == 1 else "epochs"} on {measured["training_images"]:,} images.

| measured on | accuracy |
|---|---|
| {measured["heldout_images"]} held-out images | {measured["accuracy"]:.4f} |
| {measured["training_images"]:,} training images | {measured["training_accuracy"]:.4f} |

Input: 64 values from 0 to 16, row by row; `config.json` has the scale and the names of the labels.
It is an example for trying out versions, not a model to rely on: images of another size, pen or
contrast are outside what it has seen.

The data is the test set of E. Alpaydin and C. Kaynak, *Optical Recognition of Handwritten Digits*,
UCI Machine Learning Repository (1998), licensed CC BY 4.0, as scikit-learn ships it.
"""


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description="Train the digits model.")
    parser.add_argument("--epochs", type=int, required=True, help="passes over the training images")
    parser.add_argument("--version", required=True, help="the version that the model card names")
    parser.add_argument("--out", type=Path, required=True, help="directory to write the model to")
    arguments = parser.parse_args()

    images, labels, heldout_images, heldout_labels = split()
    weights = train(images, labels, arguments.epochs)

    config = {
        "architecture": "mlp",
        "input_shape": [8, 8],
        "input_scale": 16.0,
        "hidden_size": HIDDEN,
        "activation": "relu",
        "labels": [str(digit) for digit in range(10)],
    }
    measured = {
        "accuracy": round(accuracy(predict(weights, config, heldout_images), heldout_labels), 4),
        "training_accuracy": round(accuracy(predict(weights, config, images), labels), 4),
        "heldout_images": len(heldout_labels),
        "training_images": len(labels),
        "epochs": arguments.epochs,
        "parameters": sum(int(value.size) for value in weights.values()),
    }

    arguments.out.mkdir(parents=True, exist_ok=True)
    save_file(weights, arguments.out / "model.safetensors", metadata={"format": "np"})
    write_json(arguments.out / "config.json", config)
    write_json(arguments.out / "metrics.json", measured)
    (arguments.out / "README.md").write_text(card(arguments.version, arguments.epochs, measured), encoding="utf-8")
    save_file({"images": heldout_images, "labels": heldout_labels}, HERE / "heldout.safetensors")
    print(f"{arguments.out}: accuracy {measured['accuracy']:.4f} on {len(heldout_labels)} held-out images")


if __name__ == "__main__":
    main()
