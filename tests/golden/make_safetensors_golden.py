"""Writes types.safetensors: one small tensor of every element type the library reads, by the reference implementation."""
import pathlib

import torch
from safetensors.torch import save_file

tensors = {
    "f32": torch.tensor([[1.5, -2.25, 0.1], [1e-40, 3e38, float("inf")]]),
    "f64": torch.tensor([0.1, -1e300], dtype=torch.float64),
    "bf16": torch.tensor([1.0, -3.140625], dtype=torch.bfloat16),
    # Every kind of half: zeros, subnormals, the largest, infinities, NaN.
    "f16": torch.tensor([0.0, -0.0, 2.0**-24, -(1023 * 2.0**-24), 2.0**-14, 1 / 3, 65504, float("inf"), -float("inf"),
                         float("nan")], dtype=torch.float16),
    "i32": torch.tensor([-(2**31), 2**31 - 1], dtype=torch.int32),
    "i64": torch.tensor([[-(2**63)], [2**63 - 1]]),
    "u8": torch.tensor([0, 7, 255], dtype=torch.uint8),
    "bool": torch.tensor([True, False, True]),
    "scalar": torch.tensor(4.25),
    "empty": torch.zeros(0, 3),
}
save_file(tensors, pathlib.Path(__file__).with_name("types.safetensors"), {"format": "pt", "größe": "naïve"})
