"""Turns a PyTorch module and its inputs into a golden file, which include/fovea/testing/golden.h reads.

As a command:

    python golden_dump.py my_module.py:case block.safetensors [--train]

where `case()` in my_module.py (or in an importable module) returns (module, inputs) or (module, inputs, loss):

    def case():
        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.GELU()), {"input": torch.randn(3, 4)}

As a function: golden_dump.dump(module, inputs, "block.safetensors").

The module is copied and runs in f64, in evaluation mode unless asked otherwise. `inputs` are a tensor, a list of
positional arguments or a dict of keyword arguments. `loss` is a function of the module's result, or the name of an
output, whose sum weighted with fixed random numbers ("cotangent.NAME") it then is. Without it, the loss is the result
itself when that is one number, its field `loss` when it has one, and otherwise the weighted sum of all outputs.

The file holds, all floating numbers in f64:

    param.NAME, buffer.NAME        before the call, by the names of state_dict(); a shared parameter once
    input.NAME                     by the names of forward()'s arguments
    out.NAME                       fields of the result by name, items of a tuple by number, a tensor alone as out.0
    out.loss                       what backward started from
    cotangent.NAME                 the weights, when the loss is a weighted sum
    grad.NAME, grad_input.NAME     zeros where the loss does not depend on it
    buffer_after.NAME              with --train: buffers that the call changed
"""
import argparse
import copy
import importlib
import importlib.util
import inspect
import pathlib
import sys

import torch
from safetensors.torch import save_file


def flatten(value, prefix=""):
    """The tensors of nested dicts, lists and tuples, by the names of their places joined with dots."""
    if isinstance(value, torch.Tensor):
        return {prefix or "0": value}
    if value is None or isinstance(value, (bool, int, float, str)):
        return {}
    if hasattr(value, "items"):
        items = value.items()
    elif hasattr(value, "_asdict"):
        items = value._asdict().items()
    elif isinstance(value, (list, tuple)):
        items = enumerate(value)
    else:
        raise TypeError(f"the result holds a {type(value).__name__} at '{prefix}', expected tensors, dicts and lists")
    found = {}
    for key, item in items:
        found |= flatten(item, f"{prefix}.{key}" if prefix else str(key))
    return found


def named_inputs(module, inputs):
    """The inputs by the names of forward()'s arguments."""
    if isinstance(inputs, torch.Tensor):
        inputs = [inputs]
    if not hasattr(inputs, "items"):
        inputs = inspect.signature(module.forward).bind(*inputs).arguments
    for name, value in inputs.items():
        if not isinstance(value, (torch.Tensor, type(None), bool, int, float, str)):
            raise TypeError(f"input '{name}' is a {type(value).__name__}, expected a tensor or a plain value")
    return dict(inputs)


def to_f64(tensor):
    return tensor.detach().to(torch.float64) if tensor.is_floating_point() else tensor.detach()


def weighted_sum(outputs):
    """The sum of all floating outputs with fixed random weights, and the weights."""
    generator = torch.Generator().manual_seed(0)
    floating = {name: out for name, out in outputs.items() if out.is_floating_point()}
    weights = {name: torch.randn(out.shape, generator=generator, dtype=torch.float64) for name, out in floating.items()}
    return sum((floating[name] * weights[name]).sum() for name in floating), weights


def find_loss(result, outputs, loss):
    """The number to differentiate, and the weights when it is the weighted sum."""
    if isinstance(loss, str):
        return weighted_sum({loss: outputs[loss]})
    if loss is not None:
        return loss(result), {}
    if "loss" in outputs:
        return outputs["loss"], {}
    if list(outputs) == ["0"] and outputs["0"].numel() == 1:
        return outputs["0"].reshape(()), {}
    return weighted_sum(outputs)


def gradient(tensor):
    return torch.zeros_like(tensor) if tensor.grad is None else tensor.grad


def run(module, inputs, loss=None, train=False):
    """Every tensor of the golden file, by name."""
    module = copy.deepcopy(module).to(torch.float64).train(train)
    parameters = dict(module.named_parameters())
    for parameter in parameters.values():
        parameter.requires_grad_(True)
        parameter.grad = None
    buffers = {name: buffer.clone() for name, buffer in module.named_buffers()}
    arguments = {name: to_f64(value).clone() if isinstance(value, torch.Tensor) else value
                 for name, value in named_inputs(module, inputs).items()}
    tensors = {name: value for name, value in arguments.items() if isinstance(value, torch.Tensor)}
    differentiable = {name: value.requires_grad_() for name, value in tensors.items() if value.is_floating_point()}
    out = {f"param.{name}": parameter for name, parameter in parameters.items()}
    out |= {f"buffer.{name}": buffer for name, buffer in buffers.items()}
    out |= {f"input.{name}": value for name, value in tensors.items()}
    out = {name: tensor.detach().clone() for name, tensor in out.items()}

    result = module(**arguments)
    outputs = flatten(result)
    total, weights = find_loss(result, outputs, loss)
    total.backward()
    out |= {f"out.{name}": tensor for name, tensor in outputs.items()}
    out |= {f"cotangent.{name}": weight for name, weight in weights.items()}
    out["out.loss"] = total
    out |= {f"grad.{name}": gradient(parameter) for name, parameter in parameters.items()}
    out |= {f"grad_input.{name}": gradient(value) for name, value in differentiable.items()}
    out |= {f"buffer_after.{name}": buffer for name, buffer in module.named_buffers()
            if not torch.equal(buffer, buffers[name])}
    return out


def dump(module, inputs, path, loss=None, train=False, metadata=None):
    """Writes the golden file of a module; `metadata` are texts that the reader finds with Golden::metadata."""
    tensors = {name: tensor.detach().clone(memory_format=torch.contiguous_format)
               for name, tensor in run(module, inputs, loss, train).items()}
    texts = {"module": type(module).__name__, "torch": torch.__version__, "mode": "train" if train else "eval"}
    save_file(tensors, path, texts | (metadata or {}))


def load_case(spec):
    """What the function of "module:function" or "file.py:function" returns."""
    place, _, name = spec.rpartition(":")
    if not place:
        raise SystemExit(f"'{spec}' is not MODULE:FUNCTION")
    if place.endswith(".py"):
        module_spec = importlib.util.spec_from_file_location(pathlib.Path(place).stem, place)
        module = importlib.util.module_from_spec(module_spec)
        module_spec.loader.exec_module(module)
    else:
        sys.path.insert(0, "")
        module = importlib.import_module(place)
    return getattr(module, name)()


def main():
    parser = argparse.ArgumentParser(description="Writes the golden file of a PyTorch module.")
    parser.add_argument("case", metavar="MODULE:FUNCTION", help="returns (module, inputs) or (module, inputs, loss)")
    parser.add_argument("output", help="golden file to write (.safetensors)")
    parser.add_argument("--train", action="store_true", help="run in training mode")
    arguments = parser.parse_args()
    module, inputs, *loss = load_case(arguments.case)
    dump(module, inputs, arguments.output, *loss, train=arguments.train)


if __name__ == "__main__":
    main()
