#!/usr/bin/env python3
"""Measures a digits model directory on the held-out images: `python predict.py DIRECTORY`."""

import json
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

HERE = Path(__file__).resolve().parent


def predict(weights, config, images):
    """The label index of every image (rows of 64 values)."""
    inputs = images.astype(np.float32) / np.float32(config["input_scale"])
    hidden = np.maximum(inputs @ weights["hidden.weight"] + weights["hidden.bias"], 0)
    return (hidden @ weights["output.weight"] + weights["output.bias"]).argmax(axis=1)


def accuracy(predicted, labels):
    """The share that is right, from 0 to 1."""
    return float((predicted == labels).mean())


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: predict.py DIRECTORY")
    model = Path(sys.argv[1])
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    heldout = load_file(HERE / "heldout.safetensors")
    predicted = predict(load_file(model / "model.safetensors"), config, heldout["images"])
    print(f"accuracy {accuracy(predicted, heldout['labels']):.4f}")


if __name__ == "__main__":
    main()
