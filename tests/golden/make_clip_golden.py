"""Writes clip_*.safetensors: small CLIPs with random parameters, computed by open_clip in float64.

    make_clip_golden.py [CASE ...] [--output DIR] [--seed N] [--vision-width N] ...   every case unless some are named

Parameters and inputs are numbers that f32 holds exactly, so that f32 and f64 models start from the same values. A
file has

    param.NAME         f32, parameters and BatchNorm statistics, under the names and layouts of Hugging Face's CLIPModel
                       (a ModifiedResNet, which that class lacks, has its original names below vision_model)
    input.images       (B, S, S, 3) f32
    input.tokens       (T) i32, captions one after another: start, words, end
    input.offsets      (B+1) i64, where each caption begins
    out.image_embeds, out.text_embeds   (B, E) f64, of unit length
    out.loss           scalar f64, open_clip's ClipLoss
    grad.NAME          f64
    buffer.NAME        f64, BatchNorm statistics after the pass, in training mode

and, where AdamW takes steps over several batches in turn, input.0.images, input.1.images, ... instead of input.images,
and instead of what a single pass gives

    out.losses         (steps) f64, each before its update
    final.NAME         f64, parameters after the last update

The metadata hold `config` (the library's description of the model), `case` (the fields of Case) and, with steps,
`optimizer`. Needs torch and open_clip_torch.
"""
import argparse
import dataclasses
import json
import math
import pathlib
import sys
import types
from unittest import mock

import torch
from safetensors.torch import save_file
from torch.nn import functional as F


def import_open_clip():
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        # A torchvision built for CUDA has no operators beside a CPU-only PyTorch. Nothing here calls them, but its
        # import stumbles over these two when they are not declared.
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    except ModuleNotFoundError:
        # open_clip's models need names from torchvision, but call nothing of it here. transformers asks whether there is
        # one, and must not take these names for it.
        try:
            from transformers.utils import is_torchvision_available
            is_torchvision_available()
        except ImportError:
            pass
        for name in ("torchvision", "torchvision.datasets", "torchvision.models", "torchvision.models.feature_extraction",
                     "torchvision.ops", "torchvision.ops.misc", "torchvision.transforms",
                     "torchvision.transforms.functional"):
            stand_in = types.ModuleType(name)
            stand_in.__getattr__ = lambda attribute: mock.MagicMock(name=attribute)
            stand_in.__path__ = []
            sys.modules[name] = stand_in
            parent, _, child = name.rpartition(".")
            if parent:
                setattr(sys.modules[parent], child, stand_in)
    import open_clip
    for name in [name for name, module in sys.modules.items() if getattr(module, "__spec__", 0) is None]:
        if name.startswith("torchvision"):
            del sys.modules[name]  # other packages look for the real one
    return open_clip


open_clip = import_open_clip()


@dataclasses.dataclass(frozen=True)
class Case:
    seed: int = 1
    vision: str = "vit"            # or "modified_resnet"
    activation: str = "quick_gelu"  # or "gelu", of both towers' transformers
    training: bool = False         # BatchNorm takes the statistics of the batch
    gradients: bool = True
    steps: int = 0                 # of AdamW
    batches: int = 1
    batch_size: int = 5
    logit_scale: float = 2.0
    embed: int = 24
    image_size: int = 32
    patch_size: int = 8
    vision_width: int = 32
    vision_layers: int = 2         # of a ModifiedResNet: blocks in each of its four stages
    vision_heads: int = 2          # of a ModifiedResNet: always vision_width / 2
    vocabulary: int = 64
    context: int = 12
    text_width: int = 16
    text_layers: int = 2
    text_heads: int = 2


# Narrow, so that the files stay small: heads are 64 wide, so the attention pool has 32 times `vision_width` channels.
RESNET = Case(seed=3, vision="modified_resnet", batch_size=4, image_size=64, vision_width=2, vision_layers=1,
              vision_heads=1, text_layers=1)
CASES = {
    "clip_vit_quick_gelu": Case(),
    "clip_vit_gelu": Case(activation="gelu"),
    "clip_modified_resnet": RESNET,
    "clip_modified_resnet_training": dataclasses.replace(RESNET, training=True),
    # Two heads in the attention pool: without gradients, which would make the file large.
    "clip_modified_resnet_heads": dataclasses.replace(RESNET, seed=1, vision_width=4, vision_heads=2, gradients=False),
    # The temperature starts outside of its range, so that the first step clamps it; the gradient's norm passes its
    # limit after about half of the steps.
    "clip_vit_adamw": Case(seed=2, steps=20, batches=4, vision_layers=1, text_layers=1, logit_scale=-0.5),
}
OPTIMIZER = {"lr": 1e-3, "betas": [0.9, 0.98], "eps": 1e-6, "weight_decay": 0.2, "grad_clip_norm": 1.0}


def build(case):
    vision = {"image_size": case.image_size, "width": case.vision_width}
    if case.vision == "vit":
        vision |= {"patch_size": case.patch_size, "layers": case.vision_layers,
                   "head_width": case.vision_width // case.vision_heads}
    else:
        vision |= {"layers": (case.vision_layers,) * 4}
    text = {"context_length": case.context, "vocab_size": case.vocabulary, "width": case.text_width,
            "heads": case.text_heads, "layers": case.text_layers}
    model = open_clip.CLIP(case.embed, open_clip.CLIPVisionCfg(**vision), open_clip.CLIPTextCfg(**text),
                           quick_gelu=case.activation == "quick_gelu")
    return model.double().train(case.training)


def config_of(case):
    """The model as the library's config files describe it."""
    image = {"image_size": case.image_size, "width": case.vision_width}
    if case.vision == "vit":
        image |= {"type": "vit", "patch_size": case.patch_size, "layers": case.vision_layers,
                  "heads": case.vision_heads, "activation": case.activation}
    else:
        image |= {"type": "modified_resnet", "blocks": [case.vision_layers] * 4}
    text = {"type": "transformer", "vocabulary": case.vocabulary, "context": case.context, "width": case.text_width,
            "layers": case.text_layers, "heads": case.text_heads, "activation": case.activation}
    return {"type": "clip", "embed": case.embed, "image": image, "text": text}


@torch.no_grad()
def randomise(model, case, generator):
    """Values without zeros and ones, so that no term of any formula vanishes, rounded to f32."""
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if not tensor.is_floating_point() or name == "attn_mask":
            continue
        if name == "logit_scale":
            tensor.fill_(case.logit_scale)
        elif name.endswith("running_var") or (tensor.dim() == 1 and name.endswith("weight")):
            tensor.uniform_(0.5, 1.5, generator=generator)
        else:
            spread = 0.2 if tensor.dim() == 1 else tensor[0].numel() ** -0.5
            if tensor.dim() == 4:
                spread *= 2 ** 0.5  # He et al. 2015: activations neither fade nor saturate the attention pool
            tensor.normal_(0, spread, generator=generator)
        tensor.copy_(tensor.float())


def make_batch(case, generator):
    """Images and packed captions; the captions' lengths go from the whole context down to no word at all."""
    # Coarse colour fields under noise: images that differ as whole, which keeps the gradients well-conditioned in f32.
    coarse = torch.randn(case.batch_size, 3, 4, 4, generator=generator)
    fields = F.interpolate(coarse, size=case.image_size, mode="bilinear").permute(0, 2, 3, 1)
    images = (fields + 0.3 * torch.randn(fields.shape, generator=generator)).contiguous()
    lengths = torch.linspace(case.context, 2, case.batch_size).round().long()
    lengths = lengths[torch.randperm(case.batch_size, generator=generator)]
    start, end = case.vocabulary - 2, case.vocabulary - 1
    captions = [torch.tensor([start, *torch.randint(1, start, (n - 2,), generator=generator), end]) for n in lengths]
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
    return {"images": images, "tokens": torch.cat(captions).int(), "offsets": offsets}


def padded(batch, context):
    """Captions as open_clip takes them: (B, context), zeros behind the end token."""
    rows = torch.zeros(len(batch["offsets"]) - 1, context, dtype=torch.int64)
    for row, (begin, end) in zip(rows, batch["offsets"].unfold(0, 2, 1)):
        row[:end - begin] = batch["tokens"][begin:end]
    return rows


def forward(model, batch, case):
    image = model.encode_image(batch["images"].double().permute(0, 3, 1, 2), normalize=True)
    text = model.encode_text(padded(batch, case.context), normalize=True)
    return image, text, open_clip.ClipLoss()(image, text, model.logit_scale.exp())


BLOCK_NAMES = {"ln_1": "layer_norm1", "ln_2": "layer_norm2", "attn": "self_attn", "mlp.c_fc": "mlp.fc1",
               "mlp.c_proj": "mlp.fc2"}
TOWER_NAMES = {"token_embedding.weight": "embeddings.token_embedding.weight",
               "positional_embedding": "embeddings.position_embedding.weight",
               "class_embedding": "embeddings.class_embedding",
               "conv1.weight": "embeddings.patch_embedding.weight",
               "ln_pre": "pre_layrnorm", "ln_post": "post_layernorm", "ln_final": "final_layer_norm"}


def published_name(name, case):
    if name == "logit_scale":
        return name
    tower, name = ("vision_model.", name[len("visual."):]) if name.startswith("visual.") else ("text_model.", name)
    if tower == "vision_model." and case.vision != "vit":
        return tower + name
    if name.startswith("transformer.resblocks."):
        _, _, index, rest = name.split(".", 3)
        return f"{tower}encoder.layers.{index}." + replace_prefix(rest, BLOCK_NAMES)
    return tower + replace_prefix(name, TOWER_NAMES)


def replace_prefix(name, table):
    old = next(prefix for prefix in table if name.startswith(prefix))
    return table[old] + name[len(old):]


def published(prefix, tensors, case):
    """open_clip's tensors under the published names: projections as (out, in), queries, keys and values apart."""
    out = {}
    for name, tensor in tensors:
        if name in ("visual.proj", "text_projection"):
            out["visual_projection.weight" if name == "visual.proj" else "text_projection.weight"] = tensor.T
        elif ".in_proj_" in name:
            for part, rows in zip("qkv", tensor.chunk(3)):
                out[published_name(name.replace("in_proj_", part + "_proj."), case)] = rows
        else:
            out[published_name(name, case)] = tensor
    # safetensors refuses views that share memory.
    return {prefix + name: tensor.detach().clone(memory_format=torch.contiguous_format) for name, tensor in out.items()}


def statistics(model):
    return [(name, buffer) for name, buffer in model.named_buffers() if "running_" in name]


def parameters_and_statistics(model, case):
    values = published("param.", [*model.named_parameters(), *statistics(model)], case)
    return {name: tensor.float() for name, tensor in values.items()}


def single_pass(model, batch, case):
    image, text, loss = forward(model, batch, case)
    out = {f"input.{name}": tensor for name, tensor in batch.items()}
    out |= {"out.image_embeds": image.detach(), "out.text_embeds": text.detach(), "out.loss": loss.detach()}
    if case.gradients:
        loss.backward()
        out |= published("grad.", [(name, p.grad) for name, p in model.named_parameters()], case)
    if case.training:
        out |= published("buffer.", statistics(model), case)
    return out


def make_optimizer(model):
    """Matrices and filters decay, except the embeddings that the model names (positions, class)."""
    kept = model.no_weight_decay()
    named = list(model.named_parameters())
    decayed = [p for name, p in named if p.dim() >= 2 and name not in kept]
    others = [p for name, p in named if p.dim() < 2 or name in kept]
    settings = {key: value for key, value in OPTIMIZER.items() if key != "grad_clip_norm"}
    return torch.optim.AdamW([{"params": decayed}, {"params": others, "weight_decay": 0.0}], **settings)


def optimise(model, batches, case):
    optimizer = make_optimizer(model)
    losses = []
    for step in range(case.steps):
        loss = forward(model, batches[step % len(batches)], case)[-1]
        losses.append(loss.detach())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), OPTIMIZER["grad_clip_norm"])
        optimizer.step()
        model.logit_scale.data.clamp_(0, math.log(100))
    out = {f"input.{i}.{name}": tensor for i, batch in enumerate(batches) for name, tensor in batch.items()}
    return out | {"out.losses": torch.stack(losses)} | published("final.", model.named_parameters(), case)


def write(name, case, folder):
    generator = torch.Generator().manual_seed(case.seed)
    model = build(case)
    randomise(model, case, generator)
    batches = [make_batch(case, generator) for _ in range(case.batches)]
    tensors = parameters_and_statistics(model, case)
    tensors |= optimise(model, batches, case) if case.steps else single_pass(model, batches[0], case)
    metadata = {"format": "pt", "config": json.dumps(config_of(case)), "case": json.dumps(dataclasses.asdict(case))}
    if case.steps:
        metadata["optimizer"] = json.dumps(OPTIMIZER)
    path = folder / f"{name}.safetensors"
    save_file(tensors, path, metadata)
    print(f"{path}: {path.stat().st_size} bytes")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path(__file__).parent)
    for field in dataclasses.fields(Case):
        if field.type in (int, float):
            option = "--" + field.name.replace("_", "-")
            parser.add_argument(option, type=field.type, help="in place of each case's own")
    arguments = parser.parse_args()
    unknown = set(arguments.cases) - set(CASES)
    if unknown:
        parser.error(f"unknown case {', '.join(sorted(unknown))}; known: {', '.join(CASES)}")
    return arguments


def main():
    arguments = parse_arguments()
    torch.set_num_threads(1)  # the same sums on any machine
    fields = {field.name for field in dataclasses.fields(Case)}
    changes = {key: value for key, value in vars(arguments).items() if key in fields and value is not None}
    for name in arguments.cases or CASES:
        write(name, dataclasses.replace(CASES[name], **changes), arguments.output)


if __name__ == "__main__":
    main()
