"""Makes image_processors.safetensors: what the image processors of transformers 5 (on Pillow) and open_clip's transform
make of pictures in images/.

The metadata holds each configuration as JSON text; the tensor `configuration/file` is what it gives, (3, H, W). Needs
transformers, open_clip_torch, Pillow 13, safetensors, and make_image_golden.py to have run. torchvision is replaced by
the few functions on Pillow images that open_clip's evaluation transform calls.
"""
import json
import pathlib
import sys
import types

import numpy as np
import torch
from PIL import Image, ImageOps
from safetensors.numpy import save_file

HERE = pathlib.Path(__file__).parent
FILES = ("rgb.png", "smooth.png", "gray.png", "palette.png", "rgba.png", "one_pixel.png", "one_wide.png")
HALF = [0.5, 0.5, 0.5]
SQUARE = lambda side: {"height": side, "width": side}

PROCESSORS = {
    "clip": {"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 8}, "crop_size": SQUARE(8)},
    "clip_old": {"feature_extractor_type": "CLIPFeatureExtractor", "size": 10, "crop_size": 7, "resample": 2,
                 "do_center_crop": True, "do_normalize": True, "do_resize": True},
    "clip_larger": {"image_processor_type": "CLIPImageProcessorFast", "size": {"shortest_edge": 12}, "crop_size": SQUARE(9)},
    "clip_plain": {"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 6}, "crop_size": SQUARE(6),
                   "do_normalize": False, "do_convert_rgb": True, "resample": 1},
    "clip_bytes": {"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 6}, "crop_size": SQUARE(6),
                   "do_normalize": False, "do_rescale": False, "resample": 0},
    "siglip": {"image_processor_type": "SiglipImageProcessor", "size": SQUARE(8), "image_mean": HALF, "image_std": HALF},
    "blip": {"image_processor_type": "BlipImageProcessor", "size": SQUARE(9)},
    "align": {"image_processor_type": "EfficientNetImageProcessor", "size": SQUARE(12), "crop_size": SQUARE(9),
              "do_center_crop": True, "do_normalize": False, "include_top": False, "rescale_factor": 1 / 127.5,
              "rescale_offset": True, "resample": 2},
    "efficientnet": {"image_processor_type": "EfficientNetImageProcessor", "size": SQUARE(7),
                     "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225], "resample": 0},
    "vit": {"image_processor_type": "ViTImageProcessor", "size": 8},
    "deit": {"image_processor_type": "DeiTImageProcessor", "size": SQUARE(10), "crop_size": SQUARE(7)},
    "llava": {"image_processor_type": "LlavaImageProcessor", "do_pad": True, "size": {"shortest_edge": 8},
              "crop_size": SQUARE(8)},
    "hamming": {"image_processor_type": "BlipImageProcessor", "size": SQUARE(5), "resample": 5},
}
OPEN_CLIP = {
    "open_clip": {"size": 8, "mode": "RGB", "mean": HALF, "std": HALF, "interpolation": "bicubic",
                  "resize_mode": "shortest", "fill_color": 0},
    "open_clip_squash": {"size": [8, 8], "interpolation": "bilinear", "resize_mode": "squash"},
    "open_clip_longest": {"size": 9, "interpolation": "bicubic", "resize_mode": "longest", "fill_color": 7},
}


def processor_class(name):
    import transformers.models as models
    name = name.removesuffix("Fast").replace("FeatureExtractor", "ImageProcessor")
    family = name.removesuffix("ImageProcessor").lower()
    module = __import__(f"transformers.models.{family}.image_processing_pil_{family}", fromlist=["x"])
    return getattr(module, name + "Pil")


def transformers_pixels(config, path):
    keys = {k: v for k, v in config.items() if not k.endswith("_type")}
    name = config.get("image_processor_type") or config["feature_extractor_type"]
    image = Image.open(path)
    if name.startswith(("ViT", "DeiT", "EfficientNet")):
        image = image.convert("RGB")  # these take pictures of three channels only
    return processor_class(name)(**keys)(image, return_tensors="np")["pixel_values"][0]


def stand_in_for_torchvision():
    modes = types.SimpleNamespace(BICUBIC=Image.Resampling.BICUBIC, BILINEAR=Image.Resampling.BILINEAR)

    def resize(image, size, interpolation):
        return image.resize((size[1], size[0]), interpolation)

    class Resize:
        def __init__(self, size, interpolation):
            self.size, self.interpolation = size, interpolation

        def __call__(self, image):
            if not isinstance(self.size, int):
                return resize(image, self.size, self.interpolation)
            short, long = min(image.size), max(image.size)
            sides = [self.size if side == short else int(self.size * long / short) for side in image.size]
            return image.resize(sides, self.interpolation)

    class CenterCrop:
        def __init__(self, size):
            self.size = size

        def __call__(self, image):
            top, left = int(round((image.height - self.size[0]) / 2.0)), int(round((image.width - self.size[1]) / 2.0))
            return image.crop((left, top, left + self.size[1], top + self.size[0]))

    def compose(steps):
        def run(image):
            for step in steps:
                image = step(image)
            return image
        return run

    def to_tensor():
        return lambda image: torch.from_numpy(np.asarray(image).astype(np.float32).transpose(2, 0, 1) / 255)

    def normalize(mean, std):
        return lambda x: (x - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]

    functional = types.ModuleType("torchvision.transforms.functional")
    functional.resize = resize
    functional.get_dimensions = lambda image: (3, image.height, image.width)
    functional.pad = lambda image, border, fill: ImageOps.expand(image, tuple(border), (fill,) * 3)
    functional.crop = lambda image, top, left, height, width: image.crop((left, top, left + width, top + height))
    transforms = types.ModuleType("torchvision.transforms")
    for name, value in {"Normalize": normalize, "Compose": compose, "RandomResizedCrop": None, "InterpolationMode": modes,
                        "ToTensor": to_tensor, "Resize": Resize, "CenterCrop": CenterCrop, "ColorJitter": None,
                        "Grayscale": None, "functional": functional}.items():
        setattr(transforms, name, value)
    sys.modules.update({"torchvision": types.ModuleType("torchvision"), "torchvision.transforms": transforms,
                        "torchvision.transforms.functional": functional})


def open_clip_transform():
    """open_clip/transform.py alone: the package itself imports all of torchvision."""
    import importlib.util
    stand_in_for_torchvision()
    folder = pathlib.Path(importlib.util.find_spec("open_clip").submodule_search_locations[0])
    package = types.ModuleType("open_clip_alone")
    package.__path__ = [str(folder)]
    utils = types.ModuleType("open_clip_alone.utils")
    utils.to_2tuple = lambda x: x if isinstance(x, (tuple, list)) else (x, x)
    sys.modules.update({"open_clip_alone": package, "open_clip_alone.utils": utils})
    return __import__("open_clip_alone.transform", fromlist=["x"])


tensors, metadata = {}, {}
for name, config in PROCESSORS.items():
    metadata[name] = json.dumps(config)
    for file in FILES:
        tensors[f"{name}/{file}"] = np.ascontiguousarray(transformers_pixels(config, HERE / "images" / file), np.float32)
transform = open_clip_transform()
for name, config in OPEN_CLIP.items():
    metadata[name] = json.dumps(config)
    run = transform.image_transform_v2(transform.PreprocessCfg(**config), is_train=False)
    for file in FILES:
        # RGB first: open_clip resizes palettes and transparent pictures before it converts them.
        pixels = run(Image.open(HERE / "images" / file).convert("RGB")).numpy()
        tensors[f"{name}/{file}"] = np.ascontiguousarray(pixels)
save_file(tensors, HERE / "image_processors.safetensors", metadata)
print(len(tensors), "tensors")
