"""Makes images/ and image.txt: small pictures, and what Pillow 13 and plain Python make of them.

Each line of image.txt is `operation file arguments width height pixels`, pixels as hexadecimal RGB. Needs Pillow and NumPy.
"""
import colorsys
import pathlib
import struct
import zlib

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

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
    Image.fromarray(noise[:1, :1]).save(IMAGES / "one_pixel.png")
    Image.fromarray(noise[:, :1]).save(IMAGES / "one_wide.png")
    for name in ("rgba.png", "gray_alpha.png", "palette_transparent.png", "rgb.png"):
        image = Image.open(IMAGES / name).convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        record("on_white", name, Image.alpha_composite(white, image).convert("RGB"))
    png(IMAGES / "huge.png", 20000, 10000, 8, 2, [b"\0"])


def record_jpegs():
    """Kinds of JPEG that photographs come in, and what Pillow's draft mode makes of them."""
    photo = Image.fromarray(smooth(67, 45))
    photo.save(IMAGES / "photo_420.jpg", quality=80, subsampling=2)
    photo.save(IMAGES / "photo_422.jpg", quality=80, subsampling=1)
    photo.save(IMAGES / "photo_progressive.jpg", quality=60, progressive=True)
    photo.convert("L").save(IMAGES / "photo_gray.jpg", quality=80)
    photo.convert("CMYK").save(IMAGES / "photo_cmyk.jpg", quality=80)
    for path in sorted(IMAGES.glob("photo_*.jpg")):
        record("decode", path.name, Image.open(path).convert("RGB"))
        for reduction in (2, 4, 8):
            image = Image.open(path)
            image.draft(None, (image.width // reduction, image.height // reduction))
            record("reduced", path.name, image.convert("RGB"), reduction)


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


def record_other_filters():
    kinds = {"nearest": Image.Resampling.NEAREST, "lanczos": Image.Resampling.LANCZOS, "box": Image.Resampling.BOX,
             "hamming": Image.Resampling.HAMMING}
    for name in ("rgb.png", "one_wide.png", "one_pixel.png"):
        image = Image.open(IMAGES / name)
        for kind, pillow in kinds.items():
            for size in ((5, 4), (3, 7), (19, 13)):
                record("resize_other", name, image.resize(size, pillow), kind, *size)


def record_rand_augment():
    """The ten operations of BLIP's RandAugment: Pillow's where it has the same ones, otherwise their definitions."""
    image = Image.open(IMAGES / "smooth.png")
    dull = Image.fromarray((np.asarray(image) // 2 + 40).astype(np.uint8))
    dull.save(IMAGES / "dull.png")
    # Fewer than 255 pixels of other values than the brightest are not equalized.
    larger = Image.fromarray((smooth(32, 24) // 2 + 40).astype(np.uint8))
    larger.save(IMAGES / "larger.png")
    record("rand", "larger.png", ImageOps.equalize(larger), "equalize", 0.5, 1)
    record("rand", "larger.png", ImageOps.autocontrast(larger), "auto_contrast", 0.5, 1)
    for name in ("smooth.png", "dull.png"):
        image = Image.open(IMAGES / name)
        record("rand", name, image, "identity", 0.5, 1)
        record("rand", name, ImageOps.autocontrast(image), "auto_contrast", 0.5, 1)
        record("rand", name, ImageOps.equalize(image), "equalize", 0.5, 1)
        for level in (0.2, 0.5, 1.0):
            factor = level * 1.8 + 0.1
            record("rand", name, np.clip(np.asarray(image) * factor, 0, 255).astype(np.uint8), "brightness", level, 1)
            record("rand", name, ImageEnhance.Sharpness(image).enhance(factor), "sharpness", level, 1)
            for sign in (1, -1):
                shear, pixels = sign * 0.3 * level, sign * 10 * level
                c, s = np.cos(np.radians(sign * 30 * level)), np.sin(np.radians(sign * 30 * level))
                x0, y0 = image.width / 2, image.height / 2
                # Where a pixel of the picture goes, as OpenCV's matrices say.
                maps = {"shear_x": [[1, shear, 0], [0, 1, 0]], "shear_y": [[1, 0, 0], [shear, 1, 0]],
                        "translate_x": [[1, 0, -pixels], [0, 1, 0]], "translate_y": [[1, 0, 0], [0, 1, -pixels]],
                        "rotate": [[c, s, (1 - c) * x0 - s * y0], [-s, c, s * x0 + (1 - c) * y0]]}
                for operation, matrix in maps.items():
                    record("rand", name, moved(image, matrix), operation, level, sign)


def moved(image, matrix):
    """The picture through an affine map, bilinear, on gray."""
    pixels = np.full((image.height + 2, image.width + 2, 3), 128.0)
    pixels[1:-1, 1:-1] = np.asarray(image)
    inverse = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))
    out = np.empty((image.height, image.width, 3))
    for y in range(image.height):
        for x in range(image.width):
            u, v, _ = inverse @ (x, y, 1) + 1
            u, v = np.clip(u, 0, image.width + 1 - 1e-9), np.clip(v, 0, image.height + 1 - 1e-9)
            i, j = int(u), int(v)
            top = pixels[j, i] * (i + 1 - u) + pixels[j, i + 1] * (u - i)
            low = pixels[j + 1, i] * (i + 1 - u) + pixels[j + 1, i + 1] * (u - i)
            out[y, x] = top * (j + 1 - v) + low * (v - j)
    return np.floor(out + 0.5)


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
record_jpegs()
record_sizes()
record_other_filters()
record_colors()
record_rand_augment()
(HERE / "image.txt").write_text("\n".join(lines) + "\n")
