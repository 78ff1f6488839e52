"""Writes what scikit-learn, joblib and NumPy write for well-meant objects into a directory: `pickles.py DIR`.

Each estimator that scikit-learn knows is fitted where that is quick, and written in several protocols and compressions.
"""

import io
import pickle
import sys
import warnings
from pathlib import Path

import joblib
import numpy
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.utils import all_estimators

warnings.filterwarnings("ignore")


def estimators():
    table, labels = make_classification(n_samples=40, n_features=6, n_informative=4, random_state=0)
    texts = ["a b c", "b c d"] * 20
    inputs = [(table, labels), (abs(table), labels), (table, None), (texts, labels), (labels.astype(float), labels)]
    for name, kind in all_estimators():
        made = None
        for arguments in ((), (LogisticRegression(),), ([("a", LogisticRegression())],)):
            try:
                made = kind(*arguments)
                break
            except TypeError:
                continue
        if made is None:
            continue
        if hasattr(made, "n_estimators"):
            made.n_estimators = 5
        for pair in inputs:
            try:
                made.fit(*pair)
                break
            except Exception:  # Not every estimator takes every input; an unfitted one is pickled all the same.
                continue
        yield name, made


def arrays():
    yield "floats", numpy.arange(1000.0)
    yield "texts", numpy.array(["a", "bb"])
    yield "dates", numpy.array(["2020-01-01"], "M8[D]")
    yield "records", numpy.zeros(3, [("a", "f8"), ("b", "i4", (2,))])
    yield "fortran", numpy.asfortranarray(numpy.random.default_rng(1).random((30, 20)))
    yield "masked", numpy.ma.array([1, 2], mask=[0, 1])
    yield "generator", numpy.random.default_rng(1)


def main(directory):
    directory.mkdir(parents=True)
    for name, thing in [*estimators(), *arrays()]:
        for protocol in (0, 2, 4, 5):
            try:
                text = pickle.dumps(thing, protocol)
            except Exception:  # What holds a function of a notebook cannot be pickled.
                continue
            (directory / f"{name}.{protocol}.pkl").write_bytes(text)
        for suffix, compress in (("", 0), (".z", 3), (".gz", ("gzip", 3))):
            buffer = io.BytesIO()
            try:
                joblib.dump(thing, buffer, compress=compress)
            except Exception:
                continue
            (directory / f"{name}{suffix}.joblib").write_bytes(buffer.getvalue())
        if isinstance(thing, numpy.ndarray) and name != "masked":
            numpy.save(directory / f"{name}.npy", thing)
            numpy.savez_compressed(directory / f"{name}.npz", thing)


main(Path(sys.argv[1]))
