"""Writes efficientnet_*.safetensors: what Hugging Face's EfficientNetModel computes in float64.

    make_efficientnet_golden.py [CASE ...] [--output DIR]     every case unless some are named

Parameters, buffers and inputs are not stored: both sides compute them from the names alone (`numbers` below, and
tests/support/formula_values.h). A file has, in f64,

    names              metadata: of the parameters, one a line, sorted; `buffers`: those of the running statistics
    grad.samples       (P, 6) elements of each gradient, at places that the formula of "places.NAME" gives
    grad.sums          (P, 2) sum of each gradient, and its dot product with the numbers of "weights.NAME"
    grad.max           (P) largest magnitude
    out.*              samples (1, 64), sums (1, 2) and max (1) of last_hidden_state and pooler_output
    buffer.*           the same of the buffers after the pass, in training mode

The gradients are those of sum(pooler_output * numbers("cotangent")). Drop-connect is 0: transformers drops elements.
Needs torch and transformers.
"""
import argparse
import json
import math
import pathlib

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import EfficientNetConfig, EfficientNetModel

TINY = {"width_coefficient": 1.0, "depth_coefficient": 1.0, "kernel_sizes": [3, 5, 3], "in_channels": [32, 8, 16],
        "out_channels": [8, 16, 24], "strides": [1, 2, 2], "num_block_repeats": [1, 2, 1], "expand_ratios": [1, 6, 4]}
B0 = {"width_coefficient": 1.0, "depth_coefficient": 1.0, "hidden_dim": 1280}
B3 = {"width_coefficient": 1.2, "depth_coefficient": 1.4, "hidden_dim": 1536}
# name: configuration, side of the pictures, pictures, training mode
CASES = {
    "tiny": (TINY, 20, 3, False),
    "tiny_training": (TINY, 20, 3, True),
    "tiny_odd_training": ({**TINY, "depthwise_padding": [1, 3], "hidden_act": "gelu", "squeeze_expansion_ratio": 0.1,
                           "batch_norm_eps": 1e-2, "batch_norm_momentum": 0.3, "depth_coefficient": 1.5}, 23, 4, True),
    "b0": (B0, 64, 2, False),
    "b0_training": (B0, 64, 6, True),
    "b3": (B3, 61, 2, False),
    "b3_training": (B3, 64, 6, True),
}


def numbers(name, count):
    """`count` numbers of [0, 1) with 24 bits each, by the name."""
    seed = 0xCBF29CE484222325
    for byte in name.encode():
        seed = ((seed ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    z = (np.arange(count, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)) + np.uint64(seed)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(40)).astype(np.float64) * 2.0**-24


def values(name, shape, training):
    """A tensor of the model: filters of unit gain, gains and variances around 1, small biases and means. Blocks end in
    gains that keep f32 close to f64 through all of them: with fixed statistics they add little to their shortcuts; with
    those of the batch, where the biases before the next norm have no gradient, small gains would magnify what rounding
    leaves of it."""
    u = numbers(name, math.prod(shape)).reshape(shape)
    if len(shape) == 4:
        spread = math.sqrt(6.0 / (shape[1] * shape[2] * shape[3]))
        v = (2 * u - 1) * spread
    elif name.endswith("project_bn.weight"):
        v = 2 + u if training else 0.1 + 0.3 * u
    elif name.endswith("running_var") or name.endswith(".weight"):
        v = 0.5 + u
    else:
        v = 0.4 * u - 0.2
    return torch.from_numpy(v.astype(np.float32))


def pictures(count, side):
    """Coarse colour fields under noise: (N, 3, S, S)."""
    cells = 4
    coarse = 4 * numbers("coarse", count * 3 * cells * cells).reshape(count, 3, cells, cells) - 2
    rows = np.arange(side) * cells // side
    fine = 2 * numbers("fine", count * 3 * side * side).reshape(count, 3, side, side) - 1
    return torch.from_numpy((coarse[:, :, rows][:, :, :, rows] + 0.3 * fine).astype(np.float32))


def digest(name, tensor, samples):
    flat = tensor.detach().double().flatten().numpy()
    places = (numbers("places." + name, samples) * len(flat)).astype(np.int64)
    weights = 2 * numbers("weights." + name, len(flat)) - 1
    return flat[places], np.array([flat.sum(), (flat * weights).sum()]), np.abs(flat).max()


def put(tensors, prefix, named, samples):
    parts = [digest(name, tensor, samples) for name, tensor in named]
    tensors[prefix + ".samples"] = torch.from_numpy(np.stack([p[0] for p in parts]))
    tensors[prefix + ".sums"] = torch.from_numpy(np.stack([p[1] for p in parts]))
    tensors[prefix + ".max"] = torch.tensor([p[2] for p in parts], dtype=torch.float64)


def write(name, folder):
    fields, side, count, training = CASES[name]
    config = EfficientNetConfig(**{"drop_connect_rate": 0.0, "hidden_dim": 1280, "image_size": side, **fields})
    model = EfficientNetModel(config).double().train(training)
    state = {key: value for key, value in model.state_dict().items() if value.is_floating_point()}
    with torch.no_grad():
        for key, value in state.items():
            value.copy_(values(key, tuple(value.shape), training))
    out = model(pixel_values=pictures(count, side).double())
    pooled = out.pooler_output
    cotangent = torch.from_numpy(2 * numbers("cotangent", pooled.numel()) - 1).reshape(pooled.shape)
    (pooled * cotangent).sum().backward()
    tensors = {}
    for key in ("last_hidden_state", "pooler_output"):
        put(tensors, "out." + key, [(key, out[key])], 64)
    gradients = sorted((key, p.grad) for key, p in model.named_parameters())
    put(tensors, "grad", gradients, 6)
    buffers = sorted((key, value) for key, value in state.items() if "running" in key)
    if training:
        put(tensors, "buffer", buffers, 6)
    metadata = {"names": "\n".join(key for key, _ in gradients), "config": json.dumps(config.to_dict()),
                "pictures": str(count), "side": str(side)}
    if training:
        metadata["buffers"] = "\n".join(key for key, _ in buffers)
    save_file(tensors, folder / f"efficientnet_{name}.safetensors", metadata)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("cases", nargs="*", default=list(CASES))
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path(__file__).parent)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    for name in arguments.cases:
        write(name, arguments.output)


if __name__ == "__main__":
    main()
