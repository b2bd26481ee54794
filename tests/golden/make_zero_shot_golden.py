"""Writes zero_shot.safetensors: a small CLIP with random parameters, and the zero-shot classifier that open_clip's
build_zero_shot_classifier makes of it in float64.

    param.NAME       f32, as in make_clip_golden.py
    out.classifier   (classes, E) f64

The metadata hold `config`, and `classes` and `templates`, one a line. The tokenizer is open_clip's without merges: a
byte is a token. Needs torch and open_clip_torch.
"""
import gzip
import json
import pathlib
import tempfile

import torch
from safetensors.torch import save_file

import make_clip_golden as clip

open_clip = clip.open_clip

CASE = clip.Case(seed=5, activation="gelu", embed=12, image_size=16, vision_width=8, vision_layers=1, vision_heads=1,
                 vocabulary=514, context=40, text_width=16, text_layers=1)
CLASSES = ["t-shirt or top", "Ankle  Boot", "cat", "{odd} name", "a class whose name is longer than the context"]
TEMPLATES = ["a photo of a {}.", "art of the {}.", "{}: a {} in a video game."]


def byte_tokenizer(context):
    with tempfile.NamedTemporaryFile(suffix=".gz") as file:
        file.write(gzip.compress(b"#version: 0.2"))
        file.flush()
        return open_clip.SimpleTokenizer(bpe_path=file.name, context_length=context)


def main():
    torch.set_num_threads(1)
    model = clip.build(CASE)
    clip.randomise(model, CASE, torch.Generator().manual_seed(CASE.seed))
    templates = [lambda name, pattern=pattern: pattern.replace("{}", name) for pattern in TEMPLATES]
    with torch.no_grad():
        classifier = open_clip.build_zero_shot_classifier(model, byte_tokenizer(CASE.context), CLASSES, templates)
    tensors = clip.parameters_and_statistics(model, CASE) | {"out.classifier": classifier.T.contiguous()}
    metadata = {"format": "pt", "config": json.dumps(clip.config_of(CASE)), "classes": "\n".join(CLASSES),
                "templates": "\n".join(TEMPLATES)}
    path = pathlib.Path(__file__).parent / "zero_shot.safetensors"
    save_file(tensors, path, metadata)
    print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
