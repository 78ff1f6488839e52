"""What the reference readers of Python say about model files.

`reference_readers.py write DIRECTORY` writes models with the reference writers, and
`reference_readers.py read DIRECTORY` prints, as JSON, what the reference readers find in the files below a directory.
"""

import json
import shutil
import sys
from pathlib import Path

import gguf
import numpy as np
import onnx
import safetensors
import safetensors.numpy

# The names that NumPy and ONNX have for types, in the words of safetensors.
NUMPY = {
    "float16": "F16", "float32": "F32", "float64": "F64", "int8": "I8", "int16": "I16", "int32": "I32", "int64": "I64",
    "uint8": "U8", "uint16": "U16", "uint32": "U32", "uint64": "U64", "bool": "BOOL", "complex64": "C64",
    "complex128": "C128",
}
ONNX = {
    "FLOAT": "F32", "DOUBLE": "F64", "FLOAT16": "F16", "BFLOAT16": "BF16", "INT8": "I8", "INT16": "I16", "INT32": "I32",
    "INT64": "I64", "UINT8": "U8", "UINT16": "U16", "UINT32": "U32", "UINT64": "U64", "COMPLEX64": "C64",
    "COMPLEX128": "C128", "FLOAT8E4M3FN": "F8_E4M3", "FLOAT8E4M3FNUZ": "F8_E4M3FNUZ", "FLOAT8E5M2": "F8_E5M2",
    "FLOAT8E5M2FNUZ": "F8_E5M2FNUZ", "UINT4": "U4", "INT4": "I4", "UINT2": "U2", "INT2": "I2", "FLOAT4E2M1": "F4",
    "FLOAT8E8M0": "F8_E8M0", "UNDEFINED": "?",
}


def write(directory):
    random = np.random.default_rng(7)
    sharded = directory / "sharded"
    sharded.mkdir(parents=True)
    parts = {
        "model-00001-of-00002.safetensors": {"embed": random.random((50, 8), np.float32), "scale": np.float16(2)},
        "model-00002-of-00002.safetensors": {
            "head": random.integers(-9, 9, (8, 3), np.int64), "empty": np.zeros((0, 5)), "mask": np.ones(7, bool),
        },
    }
    for name, tensors in parts.items():
        tensors = {key: np.asarray(value) for key, value in tensors.items()}
        safetensors.numpy.save_file(tensors, sharded / name, metadata={"format": "np"})
    index = {"metadata": {}, "weight_map": {key: name for name, tensors in parts.items() for key in tensors}}
    (sharded / "model.safetensors.index.json").write_text(json.dumps(index))

    quantised = directory / "quantised"
    quantised.mkdir()
    write_gguf(quantised / "tiny-Q4_0.gguf", random)

    arrays = directory / "arrays"
    arrays.mkdir()
    np.save(arrays / "fortran.npy", np.asfortranarray(random.random((3, 4))))
    np.save(arrays / "scalar.npy", np.float32(3))
    np.savez(arrays / "stored.npz", first=np.arange(6).reshape(2, 3), second=np.ones(2, np.complex64))
    np.savez_compressed(arrays / "packed.npz", zeros=np.zeros((100, 100), np.float16))

    graphs = directory / "graphs"
    data = Path(onnx.__file__).parent / "backend" / "test" / "data"
    for path in sorted(data.glob("**/*.onnx")):
        target = graphs / path.relative_to(data).with_suffix("") / "model.onnx"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    write_external(graphs / "external")


def write_gguf(path, random):
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_license("mit")
    writer.add_block_count(1)
    writer.add_context_length(128)
    writer.add_embedding_length(32)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q4_0)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(["<s>", "</s>", "hello", "world\u2581"])
    writer.add_token_scores([0.0, 0.0, -1.0, -2.0])
    writer.add_float32("a.float", 1.5)
    writer.add_bool("a.bool", True)
    writer.add_array("a.list", [1, 2, 3])
    weights = random.random((4, 64), np.float32)
    for kind in (gguf.GGMLQuantizationType.Q4_0, gguf.GGMLQuantizationType.Q8_0, gguf.GGMLQuantizationType.BF16):
        writer.add_tensor(f"weights.{kind.name}", gguf.quants.quantize(weights, kind), raw_dtype=kind)
    writer.add_tensor("norm.weight", np.ones(32, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_external(directory):
    directory.mkdir()
    weights = onnx.numpy_helper.from_array(np.arange(600, dtype=np.float32).reshape(20, 30), "weights")
    shape = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, sides) for name, sides in (("x", ["n", 20]), ("y", ["n", 30]))]
    node = onnx.helper.make_node("MatMul", ["x", "weights"], ["y"])
    graph = onnx.helper.make_graph([node], "external", shape[:1], shape[1:], [weights])
    model = onnx.helper.make_model(graph)
    onnx.save_model(model, directory / "model.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)


def read(directory):
    found = {}
    for path in sorted(path for path in directory.rglob("*") if path.is_file()):
        reader = READERS.get(path.suffix)
        if reader:
            found[str(path.relative_to(directory))] = reader(path)
    return found


def read_safetensors(path):
    with safetensors.safe_open(path, "numpy") as file:
        slices = {name: file.get_slice(name) for name in file.keys()}
        return {"tensors": {name: [part.get_dtype(), part.get_shape()] for name, part in slices.items()}}


def read_gguf(path):
    reader = gguf.GGUFReader(path)
    # ggml counts dimensions from the one whose elements lie side by side.
    tensors = {tensor.name: [tensor.tensor_type.name, [int(n) for n in reversed(tensor.shape)]] for tensor in reader.tensors}
    value = lambda key: reader.fields[key].contents()
    return {
        "tensors": tensors,
        "bytes": {tensor.name: int(tensor.n_bytes) for tensor in reader.tensors},
        "architecture": value("general.architecture"),
        "license": value("general.license"),
        "vocabulary": len(reader.fields["tokenizer.ggml.tokens"].data),
        "context": int(value("llama.context_length")),
    }


def read_array(path):
    array = np.load(path)
    return {"tensors": {path.stem: [NUMPY[array.dtype.name], list(array.shape)]}}


def read_arrays(path):
    with np.load(path) as file:
        return {"tensors": {name: [NUMPY[file[name].dtype.name], list(file[name].shape)] for name in file.files}}


def read_onnx(path):
    model = onnx.load(path, load_external_data=False)
    name = lambda number: ONNX.get(onnx.TensorProto.DataType.Name(number), onnx.TensorProto.DataType.Name(number))
    tensors = {tensor.name: [name(tensor.data_type), list(tensor.dims)] for tensor in model.graph.initializer}

    def port(value):
        kind = value.type.tensor_type
        sides = [str(side.dim_value) if side.HasField("dim_value") else side.dim_param or "?" for side in kind.shape.dim]
        return [value.name, name(kind.elem_type) if value.type.HasField("tensor_type") else None, sides]

    return {
        "tensors": tensors,
        "inputs": [port(value) for value in model.graph.input if value.name not in tensors],
        "outputs": [port(value) for value in model.graph.output],
        "opsets": {opset.domain: opset.version for opset in model.opset_import},
    }


READERS = {
    ".safetensors": read_safetensors,
    ".gguf": read_gguf,
    ".npy": read_array,
    ".npz": read_arrays,
    ".onnx": read_onnx,
}


def main():
    action, directory = sys.argv[1], Path(sys.argv[2])
    if action == "write":
        write(directory)
    else:
        json.dump(read(directory), sys.stdout)


if __name__ == "__main__":
    main()
