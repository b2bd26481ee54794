"""The quickstart's training in PyTorch: model, loss, optimiser and schedule of examples/configs/quickstart.json.

    torch_train_clip.py --bench --threads 2                           times steps on synthetic data; one line of JSON
    torch_train_clip.py --data-dump FILE --weights model.safetensors  steps through stored batches; a loss per line
    torch_train_clip.py --train --minutes 10 --tokenizer FILE         trains on data/emoji_clipart and scores it

A dump is a safetensors file with input.I.images (N, S, S, 3) f32, normalised, input.I.tokens (T) i32, packed captions
with start and end token, and input.I.offsets (N+1) i64, for I = 0, 1, ... --train also needs Pillow and tokenizers.
"""
import argparse
import csv
import json
import math
import random
import time
from collections import OrderedDict

import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

VOCABULARY, CONTEXT, SIZE = 4096, 32, 64
MEAN, STD = torch.tensor([[0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]]).view(2, 3, 1, 1)
LUMINANCE = torch.tensor([0.2989, 0.587, 0.114])


def named(**modules):
    return nn.Sequential(OrderedDict(modules))


def conv_norm(inputs, outputs, kernel, stride):
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    return named(convolution=convolution, normalization=nn.BatchNorm2d(outputs))


class BasicBlock(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.shortcut = conv_norm(inputs, outputs, 1, stride) if stride != 1 or inputs != outputs else nn.Identity()
        self.layer = nn.ModuleList([conv_norm(inputs, outputs, 3, stride), conv_norm(outputs, outputs, 3, 1)])

    def forward(self, x):
        return F.relu(self.layer[1](F.relu(self.layer[0](x))) + self.shortcut(x))


class Clip(nn.Module):
    """The preset small-resnet-cbow with the parameter names of its files."""
    def __init__(self, channels=(32, 64, 128, 256), text_width=256, embed=256):
        super().__init__()
        blocks = [BasicBlock(i, o, 1 if i == o else 2) for i, o in zip([channels[0], *channels], channels)]
        stages = nn.Sequential(*(named(layers=nn.Sequential(block)) for block in blocks))
        stem = named(embedder=conv_norm(3, channels[0], 5, 2), relu=nn.ReLU(), pool=nn.MaxPool2d(3, 2, 1))
        self.vision_model = named(embedder=stem, encoder=named(stages=stages))
        table = nn.EmbeddingBag(VOCABULARY, text_width, mode="mean")
        self.text_model = named(embeddings=named(token_embedding=table))
        self.visual_projection = nn.Linear(channels[-1], embed, bias=False)
        self.text_projection = nn.Linear(text_width, embed, bias=False)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        nn.init.normal_(table.weight, std=0.02)
        for projection in (self.visual_projection, self.text_projection):
            nn.init.normal_(projection.weight, std=projection.in_features ** -0.5)
        self.to(memory_format=torch.channels_last)

    def encode_image(self, x):
        return F.normalize(self.visual_projection(self.vision_model(x).mean((2, 3))), dim=-1)

    def encode_text(self, tokens, offsets):
        inner = torch.ones(len(tokens), dtype=torch.bool)
        inner[offsets[:-1]] = inner[offsets[1:] - 1] = False  # start and end tokens
        starts = offsets[:-1] - 2 * torch.arange(len(offsets) - 1)
        words = self.text_model.embeddings.token_embedding(tokens[inner].long(), starts)
        return F.normalize(self.text_projection(words), dim=-1)

    def loss(self, images, tokens, offsets):
        logits = self.logit_scale.exp() * self.encode_image(images) @ self.encode_text(tokens, offsets).T
        labels = torch.arange(len(logits))
        return (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2


class Trainer:
    def __init__(self, model, total):
        self.model, self.total, self.steps, self.warmup = model, total, 0, int(0.05 * total + 0.5)
        groups = [{"params": [p for p in model.parameters() if p.dim() >= 2], "weight_decay": 0.1},
                  {"params": [p for p in model.parameters() if p.dim() < 2], "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), eps=1e-6, fused=True)

    def rate(self):
        if self.steps < self.warmup:
            return 2e-3 * (self.steps + 1) / self.warmup
        return 1e-3 * (1 + math.cos(math.pi * (self.steps - self.warmup) / max(1, self.total - self.warmup)))

    def step(self, batch):
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate()
        loss = self.model.train().loss(*batch)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.model.logit_scale.data.clamp_(0, math.log(100))
        self.steps += 1
        return loss.item()


def seconds_per_step(model, batches):
    """Median time of making a batch and taking a step, after the first five."""
    trainer, times = Trainer(model, 1000), [time.perf_counter()]
    for batch in batches:
        trainer.step(batch)
        times.append(time.perf_counter())
    return torch.tensor(times, dtype=torch.float64).diff()[5:].median().item()


def bench(model, args):
    images = torch.randn(args.batch_size, 3, SIZE, SIZE).contiguous(memory_format=torch.channels_last)
    batch = images, torch.randint(1, VOCABULARY, (8 * args.batch_size,)), torch.arange(0, 8 * args.batch_size + 1, 8)
    seconds = seconds_per_step(model, [batch] * (args.steps or 30))
    print(json.dumps({"torch": torch.__version__, "threads": args.threads, "batch_size": args.batch_size,
                      "step_ms": round(1e3 * seconds, 2), "pairs_per_s": round(args.batch_size / seconds, 1)}))


def train_on_dump(model, args):
    tensors = load_file(args.data_dump)
    count = sum(name.endswith(".images") for name in tensors)
    trainer = Trainer(model, args.steps or count)
    for step in range(trainer.total):
        images, tokens, offsets = (tensors[f"input.{step % count}.{part}"] for part in ("images", "tokens", "offsets"))
        print(json.dumps({"step": step + 1, "loss": trainer.step((images.permute(0, 3, 1, 2), tokens, offsets))}))


class Data:
    """A folder with captions.tsv; all of its pictures are held in memory."""
    def __init__(self, args):
        from PIL import Image
        from tokenizers import Tokenizer
        self.args, self.tokenizer = args, Tokenizer.from_file(args.tokenizer)
        self.tokenizer.enable_truncation(CONTEXT)
        with open(f"{args.data}/captions.tsv", encoding="utf-8", newline="") as file:
            self.rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
        pixels = b"".join(Image.open(f"{args.data}/{row['image']}").convert("RGB").tobytes() for row in self.rows)
        self.images = torch.frombuffer(bytearray(pixels), dtype=torch.uint8).view(-1, SIZE, SIZE, 3).permute(0, 3, 1, 2)

    def split(self, name):
        return [i for i, row in enumerate(self.rows) if row["split"] == name]

    def tokens(self, texts):
        captions = [encoding.ids for encoding in self.tokenizer.encode_batch(texts)]
        offsets = torch.tensor([0, *map(len, captions)]).cumsum(0)
        return torch.tensor([token for caption in captions for token in caption]), offsets

    def pixels(self, ids, augmented=False):
        x = self.images[ids].float() / 255
        return ((augment(x) if augmented else x) - MEAN).div_(STD).contiguous(memory_format=torch.channels_last)

    def random_text(self, i):
        row = self.rows[i]
        column = random.choice([name for name in ("caption", "alt_caption", "keywords") if row[name]])
        words = row[column].split(",")
        return ",".join(random.sample(words, random.randint(1, len(words)))) if column == "keywords" else row[column]

    def epoch(self):
        ids, n = self.split("train"), self.args.batch_size
        random.shuffle(ids)
        for part in (ids[begin:begin + n] for begin in range(0, len(ids) - n + 1, n)):
            yield self.pixels(part, self.args.augment), *self.tokens([self.random_text(i) for i in part])


def augment(x):
    """Rotation, scale, stretch, flip and shift on white, then contrast, colour matrix and gray, for each image anew."""
    def uniform(low, high, *shape):
        return torch.empty(len(x), *shape).uniform_(low, high)
    angle = uniform(-20, 20) * math.pi / 180
    scale = uniform(math.log(0.7), math.log(1.3)).exp()
    stretch = uniform(-math.log(1.25), math.log(1.25)).exp()
    wide, high = uniform(-1, 1).sign() * scale * stretch, scale / stretch
    maps = [angle.cos() / wide, angle.sin() / wide, -angle.sin() / high, angle.cos() / high]
    maps = torch.stack(maps, -1).view(-1, 2, 2)
    shift = -maps @ uniform(-0.2, 0.2, 2, 1)  # a tenth of the side, which affine_grid counts as 2
    grid = F.affine_grid(torch.cat([maps, shift], -1), x.shape, align_corners=False)
    x = 1 - F.grid_sample(1 - x, grid, align_corners=False)  # the zeros outside become white
    mean = torch.einsum("nchw,c->n", x, LUMINANCE).view(-1, 1, 1, 1) / SIZE ** 2
    x = torch.lerp(mean, x, uniform(0.7, 1.3, 1, 1, 1)).clamp_(0, 1)
    x = torch.bmm(torch.eye(3) + uniform(-0.25, 0.25, 3, 3), x.flatten(2)).view_as(x).clamp_(0, 1)
    gray = uniform(0, 1) < 0.2
    x[gray] = torch.einsum("nchw,c->nhw", x[gray], LUMINANCE).unsqueeze(1)
    return x


def recalls(scores, right):
    """Percent of rows with a right column among the first 1, 5, 10; equal scores rank by index."""
    ranks = right.gather(1, scores.argsort(dim=1, descending=True, stable=True)).int().argmax(1)
    return {f"r{k}": round(100 * (ranks < k).float().mean().item(), 2) for k in (1, 5, 10)}


@torch.no_grad()
def evaluate(model, data, split):
    model.eval()
    ids = data.split(split)
    captions = [data.rows[i]["caption"].lower() for i in ids]
    texts = list(dict.fromkeys(captions))
    images = torch.cat([model.encode_image(data.pixels(ids[i:i + 256])) for i in range(0, len(ids), 256)])
    scores = images @ model.encode_text(*data.tokens(texts)).T
    right = torch.tensor([texts.index(caption) for caption in captions])[:, None] == torch.arange(len(texts))
    return {"i2t": recalls(scores, right), "t2i": recalls(scores.T, right.T)}


def train(model, args):
    data = Data(args)
    per_epoch, epochs = len(data.split("train")) // args.batch_size, args.epochs
    if args.minutes:
        epochs = max(1, int(0.97 * 60 * args.minutes / seconds_per_step(Clip(), data.epoch()) / per_epoch))
    trainer = Trainer(model, epochs * per_epoch)
    for epoch in range(1, epochs + 1):
        loss = sum(trainer.step(batch) for batch in data.epoch()) / per_epoch
        print(json.dumps({"epoch": epoch, "of": epochs, "loss": loss}))
    for split in sorted({row["split"] for row in data.rows} - {"train"}):
        print(json.dumps({"split": split, **evaluate(model, data, split)}))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument("--bench", action="store_true")
    mode.add_argument("--train", action="store_true")
    mode.add_argument("--data-dump", metavar="FILE")
    parser.add_argument("--weights", metavar="FILE", help="initial parameters, a model.safetensors")
    parser.add_argument("--data", default="data/emoji_clipart", help="of --train")
    parser.add_argument("--tokenizer", default="out/quickstart/model/tokenizer.json", help="of --train")
    parser.add_argument("--augment", action=argparse.BooleanOptionalAction, default=True, help="of --train")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--minutes", type=float, help="in place of --epochs")
    parser.add_argument("--steps", type=int, help="of --bench (30) or --data-dump (as many as there are batches)")
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    random.seed(args.seed)
    model = Clip()
    if args.weights:
        model.load_state_dict(load_file(args.weights))
    (bench if args.bench else train if args.train else train_on_dump)(model, args)


if __name__ == "__main__":
    main()
