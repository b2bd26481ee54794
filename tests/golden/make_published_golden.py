"""Writes model folders as they are published, with inputs and what the original classes compute in float64.

    make_published_golden.py [CASE ...] [--output DIR]     the cases of the tests, or those named
    make_published_golden.py --random N --seed S --output DIR [--family hf|siglip|open_clip]    N other sizes, below DIR

Each folder has its family's files, with small random parameters that f32 holds exactly,

    hf          config.json, model.safetensors                        transformers' CLIPModel
    siglip      config.json, model.safetensors                        transformers' SiglipModel
    open_clip   open_clip_config.json, open_clip_model.safetensors    open_clip's CLIP and CustomTextCLIP
    openai      model.safetensors                                     the same without a configuration, as OpenAI's

and

    inputs.safetensors    pixel_values (N, 3, S, S) f32, input_ids (B, L) i64, attention_mask (B, L) i64 in some
    outputs.safetensors   f64: image_embeds, text_embeds, logits_per_image, logits_per_text, loss, of transformers'
                          classes also *_model_output.{last_hidden_state,pooler_output}, of SiglipModel
                          probs_per_image, the sigmoid of logits_per_image, and grad.NAME, the loss's gradient, for every
                          parameter

Needs torch, transformers and open_clip_torch.
"""
import argparse
import dataclasses
import json
import pathlib
import random
import shutil
from unittest import mock

import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from make_clip_golden import open_clip


@dataclasses.dataclass
class Case:
    family: str = "hf"              # or "siglip", "open_clip", "openai"
    seed: int = 1
    batch: int = 4
    embed: int = 12
    image_size: int = 16
    patch_size: int = 8
    vision: str = "vit"             # or "modified_resnet", "timm" (SigLIP's tower in open_clip)
    vision_width: int = 16
    vision_layers: int = 2
    vision_heads: int = 2
    vision_hidden: int = 24
    vision_activation: str = "quick_gelu"
    vision_eps: float = 1e-5
    vocabulary: int = 50
    context: int = 10
    length: int = 10                # of the padded texts, at most the context
    text_width: int = 16
    text_layers: int = 2
    text_heads: int = 2
    text_hidden: int = 24
    text_activation: str = "quick_gelu"
    text_eps: float = 1e-5
    end: int = 49                   # id of the end-of-text token
    legacy_end: bool = False        # eos_token_id 2: the largest id is pooled
    pad: int = 0
    mask: bool = True               # write an attention mask
    custom_text: bool = False       # open_clip's CustomTextCLIP
    pre_norm: bool = True           # of open_clip's ViT


RESNET = Case(family="open_clip", vision="modified_resnet", seed=3, image_size=32, vision_width=2, vision_layers=1,
              vision_heads=1, text_layers=1, mask=False)
CASES = {
    "hf_quick_gelu": Case(),
    "hf_gelu_legacy_end": Case(seed=2, vision_activation="gelu", text_activation="gelu", legacy_end=True, pad=49,
                               image_size=19, vision_heads=4, text_heads=1, vision_eps=1e-6),
    "hf_gelu_tanh_inner_end": Case(seed=3, vision_activation="gelu_pytorch_tanh", text_activation="gelu_new", end=7,
                                   pad=49, length=8, text_width=20, text_heads=5, embed=7),
    "hf_siglip": Case(family="siglip", seed=7, mask=False, vision_activation="gelu_pytorch_tanh", pad=1, end=1,
                      text_activation="gelu_pytorch_tanh", vision_eps=1e-6, text_eps=1e-6, embed=16),
    "hf_siglip_odd": Case(family="siglip", seed=8, mask=False, vision_activation="gelu", vision_width=15, vision_heads=3,
                          vision_hidden=37, text_width=14, text_heads=7, text_hidden=11, text_activation="quick_gelu",
                          image_size=23, patch_size=5, batch=3, context=7, length=7, embed=15, pad=0, end=1),
    "open_clip_vit": Case(family="open_clip", seed=4, vision_activation="gelu", text_activation="gelu", mask=False,
                          text_width=20, vision_hidden=40, text_hidden=30),
    "open_clip_vit_custom_text": Case(family="open_clip", seed=5, mask=False, custom_text=True, pre_norm=False,
                                      text_eps=1e-6),
    "open_clip_siglip": Case(family="open_clip", seed=9, mask=False, vision="timm", custom_text=True, vision_width=24,
                             vision_heads=12, embed=24, vision_activation="gelu", vision_eps=1e-6, image_size=18,
                             patch_size=6, text_activation="gelu_pytorch_tanh", text_eps=1e-6, vision_layers=1,
                             text_layers=1, pad=1, end=1),
    "open_clip_modified_resnet": RESNET,
    "openai_vit": Case(family="openai", seed=6, mask=False, vision_heads=1, text_heads=1, vision_hidden=64,
                       text_hidden=64, vision_layers=1, text_layers=1),
}


def hf_model(case):
    from transformers import CLIPConfig, CLIPModel, SiglipConfig, SiglipModel
    vision = {"hidden_size": case.vision_width, "intermediate_size": case.vision_hidden,
              "num_hidden_layers": case.vision_layers, "num_attention_heads": case.vision_heads,
              "image_size": case.image_size, "patch_size": case.patch_size, "hidden_act": case.vision_activation,
              "layer_norm_eps": case.vision_eps}
    text = {"vocab_size": case.vocabulary, "hidden_size": case.text_width, "intermediate_size": case.text_hidden,
            "num_hidden_layers": case.text_layers, "num_attention_heads": case.text_heads,
            "max_position_embeddings": case.context, "hidden_act": case.text_activation,
            "layer_norm_eps": case.text_eps, "eos_token_id": 2 if case.legacy_end else case.end, "bos_token_id": 0,
            "pad_token_id": 1}
    if case.family == "siglip":
        text |= {"eos_token_id": case.end, "pad_token_id": case.pad, "projection_size": case.embed}
        config = SiglipConfig(text_config=text, vision_config=vision)
        return SiglipModel._from_config(config, attn_implementation="sdpa").double().eval()
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=case.embed)
    return CLIPModel._from_config(config, attn_implementation="sdpa").double().eval()


def open_clip_config(case):
    def tower(prefix):
        width, hidden = getattr(case, prefix + "_width"), getattr(case, prefix + "_hidden")
        values = {"mlp_ratio": next(r for r in (hidden / width, hidden / width + 1e-9) if int(width * r) == hidden)}
        eps, activation = getattr(case, prefix + "_eps"), getattr(case, prefix + "_activation")
        if eps != 1e-5:
            values["norm_kwargs"] = {"eps": eps}
        if activation == "gelu_pytorch_tanh":
            values["act_kwargs"] = {"approximate": "tanh"}
        return values

    vision = {"image_size": case.image_size, "width": case.vision_width}
    if case.vision == "vit":
        vision |= {"layers": case.vision_layers, "patch_size": case.patch_size,
                   "head_width": case.vision_width // case.vision_heads, **tower("vision")}
        if not case.pre_norm:
            vision["no_ln_pre"] = True
    elif case.vision == "timm":
        vision = {"image_size": case.image_size, "timm_model_name": "vit_base_patch16_siglip_224", "timm_pool": "map",
                  "timm_proj": "none"}
    else:
        vision["layers"] = [case.vision_layers] * 4
    text = {"context_length": case.context, "vocab_size": case.vocabulary, "width": case.text_width,
            "heads": case.text_heads, "layers": case.text_layers, **tower("text")}
    config = {"embed_dim": case.embed, "vision_cfg": vision, "text_cfg": text}
    if case.text_activation == "quick_gelu":
        config["quick_gelu"] = True
    if case.custom_text:
        config["custom_text"] = True
    if case.vision == "timm":
        config["init_logit_bias"] = -10
        text |= {"no_causal_mask": True, "proj_bias": True, "pool_type": "last",
                 "hf_tokenizer_name": "timm/ViT-B-16-SigLIP"}
    return config


def timm_siglip(case):
    """timm's class with the options of its SigLIP models, of other sizes."""
    from timm.models.vision_transformer import VisionTransformer
    return VisionTransformer(img_size=case.image_size, patch_size=case.patch_size, embed_dim=case.vision_width,
                             depth=case.vision_layers, num_heads=case.vision_heads,
                             mlp_ratio=case.vision_hidden / case.vision_width, class_token=False, global_pool="map",
                             num_classes=0)


def open_clip_model(case):
    config = open_clip_config(case)
    kind = open_clip.CustomTextCLIP if config.pop("custom_text", False) else open_clip.CLIP
    with mock.patch("timm.create_model", lambda *_, **__: timm_siglip(case)):
        return kind(**config).double().eval()


@torch.no_grad()
def randomise(model, generator):
    """Values without zeros and ones, so that no term of any formula vanishes, rounded to f32."""
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if not tensor.is_floating_point() or name.endswith("attn_mask"):
            continue
        if name == "logit_scale":
            tensor.fill_(2.0)
        elif name == "logit_bias":
            tensor.fill_(-1.5)
        elif name.endswith("running_var") or (tensor.dim() == 1 and name.endswith("weight")):
            tensor.uniform_(0.5, 1.5, generator=generator)
        else:
            spread = 0.2 if tensor.dim() == 1 else tensor[0].numel() ** -0.5
            if tensor.dim() == 4:
                spread *= 2 ** 0.5
            if "embedding" in name and tensor.dim() == 2:
                spread = 1.0
            tensor.normal_(0, spread, generator=generator)
        tensor.copy_(tensor.float())


def make_inputs(case, generator):
    # Coarse colour fields under noise: images that differ as whole, which keeps the gradients well-conditioned in f32.
    coarse = torch.randn(case.batch, 3, 4, 4, generator=generator)
    pixels = F.interpolate(coarse, size=case.image_size, mode="bilinear")
    pixels = (pixels + 0.3 * torch.randn(pixels.shape, generator=generator)).contiguous()
    ids = torch.full((case.batch, case.length), case.pad, dtype=torch.int64)
    mask = torch.zeros_like(ids)
    longest = case.length
    for row in range(case.batch):
        length = int(torch.randint(2, longest + 1, (), generator=generator)) if row else longest
        words = torch.randint(0, case.vocabulary - 1, (length - 1,), generator=generator)
        words[words == case.end] = (case.end + 1) % case.vocabulary if case.end + 1 < case.vocabulary else 0
        if case.legacy_end:
            words = words.clamp(max=case.end - 1)
        ids[row, :length - 1], ids[row, length - 1] = words, case.end
        mask[row, :length] = 1
    inputs = {"pixel_values": pixels, "input_ids": ids}
    if case.mask:
        inputs["attention_mask"] = mask
    return inputs


def run_hf(model, inputs):
    out = model(**{k: v.double() if k == "pixel_values" else v for k, v in inputs.items()}, return_loss=True)
    values = {name: out[name] for name in ("image_embeds", "text_embeds", "logits_per_image", "logits_per_text", "loss")}
    for tower in ("vision_model_output", "text_model_output"):
        for name in ("last_hidden_state", "pooler_output"):
            values[f"{tower}.{name}"] = out[tower][name]
    if "logit_bias" in dict(model.named_parameters()):
        values["probs_per_image"] = torch.sigmoid(out.logits_per_image)
    if "attention_mask" in inputs:
        values["text_model_output.last_hidden_state"] *= inputs["attention_mask"].unsqueeze(-1)
    return values


def run_open_clip(model, inputs, context):
    ids = F.pad(inputs["input_ids"], (0, context - inputs["input_ids"].shape[1]))
    image = model.encode_image(inputs["pixel_values"].double(), normalize=True)
    text = model.encode_text(ids, normalize=True)
    scale, bias = model.logit_scale.exp(), model.logit_bias
    logits = scale * image @ text.T + (0 if bias is None else bias)
    values = {"image_embeds": image, "text_embeds": text, "logits_per_image": logits, "logits_per_text": logits.T}
    if bias is None:
        return values | {"loss": open_clip.ClipLoss()(image, text, scale)}
    return values | {"loss": open_clip.loss.SigLipLoss()(image, text, scale, bias), "probs_per_image": torch.sigmoid(logits)}


def write(case, folder):
    generator = torch.Generator().manual_seed(case.seed)
    transformers = case.family in ("hf", "siglip")
    model = hf_model(case) if transformers else open_clip_model(case)
    randomise(model, generator)
    inputs = make_inputs(case, generator)
    outputs = run_hf(model, inputs) if transformers else run_open_clip(model, inputs, case.context)
    outputs["loss"].backward()
    outputs |= {"grad." + name: p.grad for name, p in model.named_parameters()}
    outputs = {name: value.detach().clone(memory_format=torch.contiguous_format) for name, value in outputs.items()}

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    state = {name: (value.float() if value.is_floating_point() else value).contiguous()
             for name, value in model.state_dict().items()}
    if transformers:
        model.config.save_pretrained(folder)
        config = json.loads((folder / "config.json").read_text())
        config["architectures"] = [type(model).__name__]
        (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    elif case.family == "open_clip":
        preprocess = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}
        config = {"model_cfg": open_clip_config(case), "preprocess_cfg": preprocess}
        (folder / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n")
    else:
        state |= {"input_resolution": torch.tensor(case.image_size), "context_length": torch.tensor(case.context),
                  "vocab_size": torch.tensor(case.vocabulary)}
    name = "open_clip_model.safetensors" if case.family == "open_clip" else "model.safetensors"
    save_file(state, folder / name, {"format": "pt"})
    save_file(inputs, folder / "inputs.safetensors")
    save_file(outputs, folder / "outputs.safetensors", {"case": json.dumps(dataclasses.asdict(case))})
    print(folder, sum(file.stat().st_size for file in folder.iterdir()), "bytes")


def random_case(seed, family):
    rng = random.Random(seed)
    family = family or rng.choice(["hf", "hf", "open_clip", "siglip"])

    def tower(layers):
        heads = rng.randint(1, 8)
        width = heads * rng.choice([3, 4, 5, 8, 12, 16, 20, 24] + ([64, 80] if heads <= 2 else []))
        return heads, width, rng.randint(1, layers), rng.randint(1, 4 * width)

    vision_heads, vision_width, vision_layers, vision_hidden = tower(4)
    text_heads, text_width, text_layers, text_hidden = tower(4)
    activations = ["quick_gelu", "gelu", "gelu_pytorch_tanh"]
    vocabulary = rng.randint(20, 200)
    legacy = rng.random() < 0.4 or family == "open_clip"
    end = vocabulary - 1 if legacy else rng.randint(3, vocabulary - 1)
    context = rng.randint(3, 32)
    patch = rng.randint(2, 16)
    case = Case(family=family, seed=seed, batch=rng.randint(1, 9), embed=rng.randint(2, 70),
                image_size=rng.randint(patch, 40), patch_size=patch, vision_width=vision_width,
                vision_layers=vision_layers, vision_heads=vision_heads, vision_hidden=vision_hidden,
                vision_activation=rng.choice(activations), vision_eps=rng.choice([1e-5, 1e-6, 1e-3]),
                vocabulary=vocabulary, context=context, length=rng.randint(2, context), text_width=text_width,
                text_layers=text_layers, text_heads=text_heads, text_hidden=text_hidden,
                text_activation=rng.choice(activations), text_eps=rng.choice([1e-5, 1e-6, 1e-3]), end=end,
                legacy_end=legacy, pad=rng.randint(0, end if legacy else vocabulary - 1), mask=rng.random() < 0.8)
    if family == "siglip":
        case.mask, case.length, case.embed = False, context, vision_width
        case.end = case.pad = rng.randint(0, 3)
    if family == "open_clip":
        case.mask = False
        case.vision_activation = case.text_activation = rng.choice(activations)
        case.custom_text, case.pre_norm = rng.random() < 0.3, rng.random() < 0.8
        if rng.random() < 0.4:
            case.vision, case.image_size = "modified_resnet", 32 * rng.randint(1, 3)
            case.vision_width, case.vision_layers = 2 * rng.randint(1, 4), rng.randint(1, 2)
            case.batch = max(case.batch, 2)
    return case


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path(__file__).parent / "published")
    parser.add_argument("--random", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--family", choices=["hf", "siglip", "open_clip"])
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # the same sums on any machine
    for i in range(arguments.random):
        seed = arguments.seed + i
        write(random_case(seed, arguments.family), arguments.output / f"random_{seed}")
    if not arguments.random:
        for name in arguments.cases or CASES:
            write(CASES[name], arguments.output / name)


if __name__ == "__main__":
    main()
