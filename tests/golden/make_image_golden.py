"""Makes images/ and image.txt: small pictures, and what Pillow and plain Python make of them.

Each line of image.txt is `operation file arguments width height pixels`, pixels as hexadecimal RGB. Needs Pillow and NumPy.
"""
import colorsys
import pathlib
import struct
import zlib

import numpy as np
from PIL import Image

HERE = pathlib.Path(__file__).parent
IMAGES = HERE / "images"
LUMINANCE = (0.2989, 0.587, 0.114)
lines = []


def record(operation, name, image, *arguments):
    pixels = np.asarray(image, dtype=np.uint8)
    fields = [operation, name, *arguments, pixels.shape[1], pixels.shape[0], pixels.tobytes().hex()]
    lines.append(" ".join(str(field) for field in fields))


def png(path, width, height, depth, color_type, rows):
    """A PNG of raw samples, for the kinds that Pillow does not write."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    header = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b""))


def smooth(width, height):
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([127 + 120 * np.sin(x / 3), 127 + 120 * np.cos(y / 2), 255 * x * y / (width * height)], -1).astype(np.uint8)


def make_pictures(rng):
    noise = rng.integers(0, 256, (9, 13, 3), dtype=np.uint8)
    alpha = rng.integers(0, 256, (9, 13, 1), dtype=np.uint8)
    gray = noise[..., 0]
    wide = rng.integers(0, 65536, (4, 5, 3), dtype=np.uint16)
    rgb = Image.fromarray(noise)
    rgb.save(IMAGES / "rgb.png")
    Image.fromarray(np.concatenate([noise, alpha], -1)).save(IMAGES / "rgba.png")
    Image.fromarray(gray).save(IMAGES / "gray.png")
    Image.fromarray(np.stack([gray, alpha[..., 0]], -1)).save(IMAGES / "gray_alpha.png")
    Image.fromarray(gray).convert("1").save(IMAGES / "one_bit.png")
    rgb.quantize(7).save(IMAGES / "palette.png")
    rgb.quantize(7).save(IMAGES / "palette_transparent.png", transparency=bytes([0, 128, 255]))
    Image.fromarray(smooth(16, 11)).save(IMAGES / "smooth.png")
    Image.fromarray(smooth(16, 11)).save(IMAGES / "full_chroma.jpg", quality=92, subsampling=0)
    Image.fromarray(smooth(16, 11)).save(IMAGES / "half_chroma.jpg", quality=92, subsampling=2)
    Image.fromarray(smooth(16, 11)).save(IMAGES / "progressive.jpg", quality=92, progressive=True)
    Image.fromarray(smooth(16, 11)[..., 2]).save(IMAGES / "gray.jpg", quality=92)
    for path in sorted(IMAGES.glob("*.*g")):
        record("decode", path.name, Image.open(path).convert("RGB"))
    # The upper byte is kept; Pillow clips 16-bit gray instead, which turns nearly everything white.
    png(IMAGES / "rgb16.png", 5, 4, 16, 2, [row.astype(">u2").tobytes() for row in wide])
    png(IMAGES / "gray16.png", 5, 4, 16, 0, [row.astype(">u2").tobytes() for row in wide[..., 0]])
    record("decode", "rgb16.png", wide >> 8)
    record("decode", "gray16.png", np.repeat(wide[..., :1] >> 8, 3, -1))
    png(IMAGES / "huge.png", 20000, 10000, 8, 2, [b"\0"])


def record_sizes():
    # Made with Pillow 13; (13, 4) and (20, 6) differ in older versions, which always resize the width first.
    filters = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
    for name in ("rgb.png", "smooth.png"):
        image = Image.open(IMAGES / name)
        for kind, pillow in filters.items():
            for size in ((5, 4), (13, 4), (20, 6), (19, 13), (1, 1)):
                record("resize", name, image.resize(size, pillow), kind, *size)
            for size in (4, 8, 11):
                record("center", name, center(image, size, pillow), kind, size)


def center(image, size, pillow):
    """torchvision's Resize(size) and CenterCrop(size)."""
    short, long = min(image.size), max(image.size)
    sides = [size if side == short else int(size * long / short) for side in image.size]
    left, top = [int(round((side - size) / 2.0)) for side in sides]
    return image.resize(sides, pillow).crop((left, top, left + size, top + size))


def record_colors():
    """torchvision's functional_tensor, on 0..1 values."""
    x = np.asarray(Image.open(IMAGES / "rgb.png")) / 255
    gray = (x @ LUMINANCE)[..., None]

    def save(operation, value, factor):
        record(operation, "rgb.png", np.floor(np.clip(value, 0, 1) * 255 + 0.5), factor)

    for factor in (0, 0.6, 1.7):
        save("brightness", factor * x, factor)
        save("contrast", factor * x + (1 - factor) * gray.mean(), factor)
        save("saturation", factor * x + (1 - factor) * gray, factor)
    for turns in (0.13, 0.5, -0.4):
        hsv = np.apply_along_axis(lambda pixel: colorsys.rgb_to_hsv(*pixel), -1, x)
        hsv[..., 0] = (hsv[..., 0] + turns) % 1
        save("hue", np.apply_along_axis(lambda pixel: colorsys.hsv_to_rgb(*pixel), -1, hsv), turns)


IMAGES.mkdir(exist_ok=True)
for old in IMAGES.iterdir():
    old.unlink()
make_pictures(np.random.default_rng(7))
record_sizes()
record_colors()
(HERE / "image.txt").write_text("\n".join(lines) + "\n")
