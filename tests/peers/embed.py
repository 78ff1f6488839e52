"""Embeds sentences with a MiniLM model directory: `embed.py DIRECTORY < lines`, one JSON vector a line.

The forward pass of a BERT encoder in numpy, mean pooling and length 1, as the model card describes.
"""

import json
import sys
from math import sqrt
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file
from tokenizers import Tokenizer


def erf(x):
    """Abramowitz and Stegun 7.1.26: within 1.5e-7, as good as float32."""
    t = 1 / (1 + 0.3275911 * np.abs(x))
    series = ((((1.061405429 * t - 1.453152027) * t) + 1.421413741) * t - 0.284496736) * t + 0.254829592
    return np.sign(x) * (1 - series * t * np.exp(-x * x))


class Encoder:
    def __init__(self, directory):
        directory = Path(directory)
        self.config = json.loads((directory / "config.json").read_text())
        self.weights = load_file(directory / "model.safetensors")
        self.tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
        self.tokenizer.no_padding()

    def linear(self, name, x):
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def norm(self, name, x):
        centred = x - x.mean(-1, keepdims=True)
        scale = np.sqrt((centred**2).mean(-1, keepdims=True) + self.config["layer_norm_eps"])
        return centred / scale * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]

    def attention(self, name, x):
        heads = self.config["num_attention_heads"]
        length, width = x.shape
        query, key, value = (
            self.linear(f"{name}.self.{part}", x).reshape(length, heads, -1).transpose(1, 0, 2)
            for part in ("query", "key", "value")
        )
        score = query @ key.transpose(0, 2, 1) / sqrt(width // heads)
        score = np.exp(score - score.max(-1, keepdims=True))
        mixed = (score / score.sum(-1, keepdims=True)) @ value
        out = self.linear(f"{name}.output.dense", mixed.transpose(1, 0, 2).reshape(length, width))
        return self.norm(f"{name}.output.LayerNorm", x + out)

    def embed(self, sentence):
        ids = self.tokenizer.encode(sentence).ids
        w = self.weights
        x = w["embeddings.word_embeddings.weight"][ids]
        x = x + w["embeddings.position_embeddings.weight"][: len(ids)] + w["embeddings.token_type_embeddings.weight"][0]
        x = self.norm("embeddings.LayerNorm", x)
        for number in range(self.config["num_hidden_layers"]):
            name = f"encoder.layer.{number}"
            x = self.attention(f"{name}.attention", x)
            inner = self.linear(f"{name}.intermediate.dense", x)
            inner = inner * 0.5 * (1 + erf(inner / sqrt(2)))
            x = self.norm(f"{name}.output.LayerNorm", x + self.linear(f"{name}.output.dense", inner))
        pooled = x.mean(0)
        return pooled / np.linalg.norm(pooled)


def main():
    encoder = Encoder(sys.argv[1])
    for line in sys.stdin:
        print(json.dumps([round(float(value), 6) for value in encoder.embed(line.strip())]))


if __name__ == "__main__":
    main()
