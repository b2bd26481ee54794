"""From JPEG files to a model's input in Pillow and NumPy, on one thread: the peer of bench_loader.

  pillow_loader.py make FOLDER [--pictures N] [--longest PIXELS]   collages of the shipped pictures, 4:3, as JPEG
  pillow_loader.py run FOLDER [--mode eval|crop|reduced] [--size S] [--repeats R]   milliseconds a picture, fastest pass
"""
import argparse
import io
import math
import pathlib
import random
import time

import numpy as np
from PIL import Image

SHIPPED = pathlib.Path(__file__).parents[2] / "data/emoji_clipart/images"
MEAN = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)
STD = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)


def make(folder, count, longest):
    """Enlarged pictures side by side, with the grain of a photograph: about 4 bits a pixel."""
    draw = random.Random(1)
    grain = np.random.default_rng(1)
    shipped = sorted(SHIPPED.rglob("*.png"))
    folder.mkdir(parents=True, exist_ok=True)
    total = 0
    for i in range(count):
        sides = [longest, round(longest * 3 / 4)]
        draw.shuffle(sides)
        canvas = Image.new("RGB", sides, tuple(draw.randrange(256) for _ in range(3)))
        for _ in range(12):
            side = draw.randrange(longest // 5, longest // 2)
            picture = Image.open(draw.choice(shipped)).convert("RGBA").resize((side, side), Image.Resampling.BICUBIC)
            canvas.paste(picture, (draw.randrange(sides[0]) - side // 2, draw.randrange(sides[1]) - side // 2), picture)
        pixels = np.asarray(canvas) + grain.normal(0, 9, (sides[1], sides[0], 1))
        path = folder / f"{i:04}.jpg"
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(path, quality=90, subsampling=2)
        total += path.stat().st_size
    print(f"{count} pictures of {longest} x {round(longest * 3 / 4)}, {total / count / 1024:.0f} KB each")


def random_rectangle(size, draw):
    """torchvision's RandomResizedCrop((0.9, 1))."""
    area = size[0] * size[1]
    for _ in range(10):
        target, shape = area * draw.uniform(0.9, 1), math.exp(draw.uniform(math.log(3 / 4), math.log(4 / 3)))
        width, height = round(math.sqrt(target * shape)), round(math.sqrt(target / shape))
        if 0 < width <= size[0] and 0 < height <= size[1]:
            left, top = draw.randint(0, size[0] - width), draw.randint(0, size[1] - height)
            return left, top, left + width, top + height
    return 0, 0, size[0], size[1]


def prepare(data, mode, size, draw):
    image = Image.open(io.BytesIO(data))
    if mode == "eval":
        image = image.convert("RGB")
        short, long = min(image.size), max(image.size)
        sides = [size if side == short else int(size * long / short) for side in image.size]
        left, top = [int(round((side - size) / 2.0)) for side in sides]
        image = image.resize(sides, Image.Resampling.BICUBIC).crop((left, top, left + size, top + size))
    else:
        box = random_rectangle(image.size, draw)
        if mode == "reduced":
            whole = image.size
            image.draft("RGB", tuple(math.ceil(whole[i] * size / (box[i + 2] - box[i])) for i in range(2)))
            box = tuple(round(side * image.size[i % 2] / whole[i % 2]) for i, side in enumerate(box))
        image = image.convert("RGB").crop(box).resize((size, size), Image.Resampling.BICUBIC)
    return (np.asarray(image, np.float32) * np.float32(1 / 255) - MEAN) / STD


def run(folder, mode, size, repeats):
    files = [path.read_bytes() for path in sorted(folder.iterdir())]
    best = math.inf
    for _ in range(repeats):
        draw = random.Random(1)
        start = time.perf_counter()
        for data in files:
            prepare(data, mode, size, draw)
        best = min(best, time.perf_counter() - start)
    print(f"{1e3 * best / len(files):.4f}")


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("command", choices=["make", "run"])
parser.add_argument("folder", type=pathlib.Path)
parser.add_argument("--pictures", type=int, default=200)
parser.add_argument("--longest", type=int, default=500)
parser.add_argument("--mode", choices=["eval", "crop", "reduced"], default="eval")
parser.add_argument("--size", type=int, default=224)
parser.add_argument("--repeats", type=int, default=3)
arguments = parser.parse_args()
if arguments.command == "make":
    make(arguments.folder, arguments.pictures, arguments.longest)
else:
    run(arguments.folder, arguments.mode, arguments.size, arguments.repeats)
