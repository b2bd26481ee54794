"""Writes torch/*.pt with torch.save, and torch/types.safetensors with the tensors that types.pt holds."""
import pathlib
import warnings

import torch
from safetensors.torch import save_file

folder = pathlib.Path(__file__).with_name("torch")
torch.manual_seed(0)
base = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4)
tensors = {
    "f32": torch.tensor([[1.5, -2.25, 0.1], [1e-40, 3e38, float("inf")]]),
    "f64": torch.tensor([0.1, -1e300], dtype=torch.float64),
    "f16": torch.tensor([0.0, -0.0, 2.0**-24, 1 / 3, 65504, float("inf"), float("nan")], dtype=torch.float16),
    "bf16": torch.tensor([1.0, -3.140625], dtype=torch.bfloat16),
    "i32": torch.tensor([-(2**31), 2**31 - 1], dtype=torch.int32),
    "i64": torch.tensor([[-(2**63)], [2**63 - 1]]),
    "u8": torch.tensor([0, 7, 255], dtype=torch.uint8),
    "bool": torch.tensor([True, False, True]),
    "scalar": torch.tensor(4.25),
    "empty": torch.zeros(0, 3),
    "größe": torch.nn.Parameter(torch.tensor([3.0])),
    "views.base": base,
    "views.rows": base[1],
    "views.transposed": base.permute(2, 0, 1),
    "views.strided": base[:, 1:, ::2],
    "views.one_column": base[:, :, 1:2],
    "views.half": torch.arange(6).half().reshape(2, 3).t(),
    "views.expanded_one": torch.arange(4)[None].expand(1, 4),
    "list.0": torch.tensor([1.0]),
    "list.1.0": torch.tensor([2.0]),
    "list.1.1.inner": torch.tensor([3.0]),
    "numbered.7": torch.tensor([4.0]),
}
nested = {name: tensor for name, tensor in tensors.items() if "." not in name}
nested["views"] = {name[6:]: tensor for name, tensor in tensors.items() if name.startswith("views.")}
nested["list"] = [tensors["list.0"], (tensors["list.1.0"], {"inner": tensors["list.1.1.inner"]})]
nested["numbered"] = {7: tensors["numbered.7"]}
nested["other"] = {"int": -3, "long": 2**40, "huge": -(2**80), "float": 1.5, "none": None, "true": True,
                   "text": "né" * 200, "size": torch.Size([2, 3]), "many": list(range(300)), "tuple": (1, 2, 3, 4)}
torch.save(nested, folder / "types.pt")
# safetensors stores contiguous tensors that share no memory.
save_file({name: tensor.detach().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()},
          folder / "types.safetensors")

model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
optimizer = torch.optim.AdamW(model.parameters())
model(torch.randn(4, 3)).sum().backward()
optimizer.step()
torch.save(model.state_dict(), folder / "state_dict.pt")
torch.save({"epoch": 1, "state_dict": model.state_dict(), "optimizer": optimizer.state_dict()},
           folder / "checkpoint.pt")
torch.save(torch.tensor([1.0, 2.0]), folder / "alone.pt")

# What the library refuses.
torch.save({"x": base}, folder / "legacy.pt", _use_new_zipfile_serialization=False)
torch.save(model[0], folder / "module.pt")
torch.save({"x": base}, folder / "protocol4.pt", pickle_protocol=4)
torch.save({"x": torch.ones(2, dtype=torch.int16)}, folder / "int16.pt")
torch.save({"x": torch.ones(1).expand(1000)}, folder / "expanded.pt")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch.jit.save(torch.jit.script(model[0]), folder / "script.pt")
