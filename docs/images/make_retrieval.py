"""Draws retrieval.png: twelve pictures of test_style, drawn by lot, with the captions that the quickstart's model ranks first.

    docs/images/make_retrieval.py [MODEL_FOLDER]      needs torch, safetensors, tokenizers and Pillow

The model runs in PyTorch (tests/bench/torch_train_clip.py), which reads the same folder.
"""
import pathlib
import random
import sys
import types

import torch
from PIL import Image, ImageDraw, ImageFont
from safetensors.torch import load_file

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/bench"))
import torch_train_clip as twin  # noqa: E402

SIDE, CELL, COLUMNS, PICTURES, SHOWN = 92, (310, 112), 3, 12, 3
FONT = "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"


def ranking(folder):
    """Row numbers of the split, their captions, all distinct captions, and the best of these for each picture."""
    data = twin.Data(types.SimpleNamespace(data=str(ROOT / "data/emoji_clipart"), tokenizer=str(folder / "tokenizer.json")))
    model = twin.Clip()
    model.load_state_dict(load_file(folder / "model.safetensors"))
    model.eval()
    ids = data.split("test_style")
    captions = [data.rows[i]["caption"].lower() for i in ids]
    texts = list(dict.fromkeys(captions))
    with torch.no_grad():
        images = torch.cat([model.encode_image(data.pixels(ids[i:i + 256])) for i in range(0, len(ids), 256)])
        best = (images @ model.encode_text(*data.tokens(texts)).T).topk(SHOWN, 1).indices
    return [data.rows[i]["image"] for i in ids], captions, [[texts[j] for j in row] for row in best]


def shortened(text, length):
    return text if len(text) <= length else text[:length - 1] + "…"


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "out/quickstart/model")
    files, captions, best = ranking(folder)
    width, height = CELL
    sheet = Image.new("RGB", (width * COLUMNS + 20, height * PICTURES // COLUMNS + 20), "white")
    draw = ImageDraw.Draw(sheet)
    large, small = ImageFont.truetype(FONT, 14), ImageFont.truetype(FONT, 12)
    for cell, i in enumerate(random.Random(5).sample(range(len(files)), PICTURES)):
        x, y = 10 + cell % COLUMNS * width, 10 + cell // COLUMNS * height
        picture = Image.open(ROOT / "data/emoji_clipart" / files[i]).convert("RGB")
        sheet.paste(picture.resize((SIDE, SIDE), Image.LANCZOS), (x, y))
        for line, text in enumerate(best[i]):
            color = (20, 120, 50) if text == captions[i] else (90, 90, 90)
            draw.text((x + SIDE + 10, y + 8 + 22 * line), shortened(text, 26), fill=color, font=large)
        if captions[i] not in best[i]:
            draw.text((x + SIDE + 10, y + 74), "right: " + shortened(captions[i], 23), fill=(160, 60, 40), font=small)
    sheet.quantize(128).save(ROOT / "docs/images/retrieval.png", optimize=True)


if __name__ == "__main__":
    main()
