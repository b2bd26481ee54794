"""Checks that what export_hf writes is loaded by transformers and open_clip, and computes the same there.

    check_exports.py [--programs build/bin]

Every folder of tests/golden/published is exported to each layout that has its towers; the library concerned loads the
result and its numbers, in f64, must equal those of the golden file. A model with CLIP's published vocabulary shows that
the tokenizer and the settings of the picture processor come along. Needs torch, transformers and open_clip_torch.
"""
import argparse
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

import torch
from safetensors.torch import load_file
from torch.nn import functional as F

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "golden"))
from make_clip_golden import open_clip  # noqa: E402
from transformers import AutoConfig, AutoModel, AutoTokenizer, CLIPConfig, CLIPModel  # noqa: E402

TOLERANCE = 1e-9


def export(programs, source, target, layout, *options):
    command = [programs / "export_hf", source, target, "--layout", layout, *options]
    subprocess.run([str(part) for part in command], check=True, capture_output=True)


def hf_embeddings(folder, inputs):
    model, loading = AutoModel.from_pretrained(folder, attn_implementation="sdpa", dtype=torch.float64,
                                               output_loading_info=True)
    assert not loading["missing_keys"] and not loading["unexpected_keys"] and not loading["mismatched_keys"], loading
    out = model.eval()(input_ids=inputs["input_ids"], pixel_values=inputs["pixel_values"].double(),
                       attention_mask=inputs.get("attention_mask"), return_loss=True)
    return out.image_embeds, out.text_embeds, out.logits_per_image, out.loss


def open_clip_model(folder):
    """As a user loads it: by the configuration's name and the path of the parameters, and as a folder of the hub."""
    name = f"exported_{folder.parent.name}_{folder.name}"
    config = json.loads((folder / "open_clip_config.json").read_text())
    (folder / f"{name}.json").write_text(json.dumps(config["model_cfg"]))
    open_clip.add_model_config(folder / f"{name}.json")
    by_name = open_clip.create_model(name, pretrained=str(folder / "open_clip_model.safetensors"))
    local = lambda model_id, filename=None, cache_dir=None: str(  # noqa: E731
        folder / (filename or "open_clip_model.safetensors"))
    open_clip.factory.download_pretrained_from_hf = local
    from_hub = open_clip.create_model("hf-hub:local/exported")
    for (key, a), b in zip(by_name.state_dict().items(), from_hub.state_dict().values()):
        assert torch.equal(a, b), key
    return from_hub.double().eval()


def open_clip_embeddings(folder, inputs):
    model = open_clip_model(folder)
    ids = F.pad(inputs["input_ids"], (0, model.context_length - inputs["input_ids"].shape[1]))
    return (model.encode_image(inputs["pixel_values"].double(), normalize=True),
            model.encode_text(ids, normalize=True))


def compare(what, ours, reference):
    for name, value in zip(("image_embeds", "text_embeds", "logits_per_image", "loss"), ours):
        error = ((value - reference[name]).abs().max() / reference[name].abs().max()).item()
        assert error <= TOLERANCE, f"{what}: {name} differs by {error}"
    print("ok", what)


def check_golden(programs, folder, temporary):
    inputs, reference = load_file(folder / "inputs.safetensors"), load_file(folder / "outputs.safetensors")
    layouts = ["hf", "open_clip"]
    if "siglip" in folder.name:
        layouts.remove("open_clip")  # whose image tower is one of timm's, of published sizes
    if "resnet" in folder.name or "custom_text" in folder.name:
        layouts.remove("hf")  # CLIPModel has neither a ResNet nor a ViT without pre_layrnorm
    if "inner_end" in folder.name:
        layouts.remove("open_clip")  # which pools the largest id
    for layout in layouts:
        for through in ("directly", "through fovea"):
            source = folder
            if through == "through fovea":
                source = temporary / f"{folder.name}_fovea"
                export(programs, folder, source, "fovea")
            target = temporary / f"{folder.name}_{layout}_{len(through)}"
            export(programs, source, target, layout)
            embeddings = hf_embeddings if layout == "hf" else open_clip_embeddings
            compare(f"{folder.name} as {layout} {through}", embeddings(target, inputs), reference)


def check_processor(programs, temporary):
    torch.manual_seed(1)
    tower = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = CLIPConfig(text_config=tower, vision_config=tower | {"image_size": 32, "patch_size": 8}, projection_dim=4)
    model = CLIPModel(config)
    source = temporary / "published_vocabulary"
    model.save_pretrained(source)
    shutil.copy(ROOT / "data/tokenizers/clip/bpe_simple_vocab_16e6.txt", source)
    processing = {"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 32}, "resample": 3,
                  "crop_size": {"height": 32, "width": 32}, "image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4]}
    (source / "preprocessor_config.json").write_text(json.dumps(processing))
    captions = ["a photo of a cat", "It's 10 o'clock, 2 of 3!", "naïve café ☕", "x" * 30]
    expected = [open_clip.SimpleTokenizer().encode(caption) for caption in captions]
    for layout in ("hf", "open_clip"):
        target = temporary / f"published_vocabulary_{layout}"
        export(programs, source, target, layout)
        if layout == "open_clip":
            config = json.loads((target / "open_clip_config.json").read_text())["preprocess_cfg"]
            assert config["mean"] == processing["image_mean"] and config["std"] == processing["image_std"], config
            for (key, a), b in zip(model.state_dict().items(), CLIPModel.from_pretrained(source).state_dict().values()):
                assert torch.equal(a, b), key
            print("ok preprocess_cfg of open_clip")
            continue
        tokenizer = AutoTokenizer.from_pretrained(target)
        for caption, ids in zip(captions, expected):
            found = tokenizer(caption)["input_ids"]
            assert found == [49406, *ids, 49407], (caption, found, ids)
        batch = tokenizer(captions, padding=True, return_tensors="pt")
        loaded = CLIPModel.from_pretrained(target)
        assert torch.equal(model.get_text_features(**batch).pooler_output,
                           loaded.get_text_features(**batch).pooler_output)
        written = json.loads((target / "preprocessor_config.json").read_text())
        for key, value in processing.items():
            assert written[key] == value, (key, written[key], value)
        print("ok tokenizer and preprocessor_config.json of transformers")


def check_narrow(programs, temporary):
    folder = ROOT / "tests/golden/published/hf_quick_gelu"
    for dtype, kind in (("bf16", torch.bfloat16), ("f16", torch.float16)):
        target = temporary / dtype
        export(programs, folder, target, "hf", "--dtype", dtype)
        original, narrow = load_file(folder / "model.safetensors"), load_file(target / "model.safetensors")
        for name, tensor in original.items():
            assert torch.equal(narrow[name], tensor.to(kind)), name
        print("ok", dtype, "rounds as PyTorch")


@torch.no_grad()
def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=pathlib.Path, default=ROOT / "build" / "bin")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        temporary = pathlib.Path(name)
        for folder in sorted((ROOT / "tests/golden/published").iterdir()):
            if folder.name != "openai_vit":
                check_golden(arguments.programs, folder, temporary)
        check_narrow(arguments.programs, temporary)
        check_processor(arguments.programs, temporary)


if __name__ == "__main__":
    main()
