"""Times the training steps of build/bin/bench_step in PyTorch: identical models, same flags, one line of JSON.

    torch_step.py --preset small|s16|b32|rn50|b0|bert --batch N --steps K --threads T [--inductor] [--channels-last]

Captions fill the context and every block computes every token, as PyTorch code is usually written.
"""
import argparse
import json
import math
import resource
import statistics
import time

import torch
from torch import nn
from torch.nn import functional as F

# image, patch, vision width/depth/heads, text width/depth/heads, vocabulary, context, embed
PRESETS = {"small": (64, 8, (256, 6, 4), (256, 4, 4), 4096, 32, 256),
           "s16": (112, 16, (384, 12, 6), (384, 6, 6), 8192, 32, 384),
           "b32": (224, 32, (768, 12, 12), (512, 12, 8), 49408, 77, 512)}


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x, causal):
        b, t, d = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(b, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
        x = x + self.out(attended.transpose(1, 2).reshape(b, t, d))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class Clip(nn.Module):
    def __init__(self, image, patch, vision, text, vocabulary, context, embed):
        super().__init__()
        (vision_width, vision_depth, vision_heads), (text_width, text_depth, text_heads) = vision, text
        self.patches = nn.Conv2d(3, vision_width, patch, patch, bias=False)
        self.class_token = nn.Parameter(torch.randn(vision_width) * vision_width ** -0.5)
        self.vision_positions = nn.Parameter(torch.randn((image // patch) ** 2 + 1, vision_width) * vision_width ** -0.5)
        self.pre_norm = nn.LayerNorm(vision_width)
        self.vision = nn.ModuleList(Block(vision_width, vision_heads) for _ in range(vision_depth))
        self.post_norm = nn.LayerNorm(vision_width)
        self.tokens = nn.Embedding(vocabulary, text_width)
        self.text_positions = nn.Parameter(torch.randn(context, text_width) * 0.01)
        self.text = nn.ModuleList(Block(text_width, text_heads) for _ in range(text_depth))
        self.final_norm = nn.LayerNorm(text_width)
        self.visual_projection = nn.Linear(vision_width, embed, bias=False)
        self.text_projection = nn.Linear(text_width, embed, bias=False)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def encode_image(self, images):
        x = self.patches(images).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_token.expand(len(x), 1, -1), x], 1) + self.vision_positions
        x = self.pre_norm(x)
        for block in self.vision:
            x = block(x, False)
        return F.normalize(self.visual_projection(self.post_norm(x[:, 0])), dim=-1)

    def encode_text(self, tokens):
        x = self.tokens(tokens) + self.text_positions
        for block in self.text:
            x = block(x, True)
        x = x[torch.arange(len(x)), tokens.argmax(-1)]
        return F.normalize(self.text_projection(self.final_norm(x)), dim=-1)

    def forward(self, images, tokens):
        logits = self.logit_scale.exp() * self.encode_image(images) @ self.encode_text(tokens).T
        labels = torch.arange(len(logits))
        return (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2


class Bottleneck(nn.Module):
    def __init__(self, inputs, planes, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, planes, 1, bias=False), nn.BatchNorm2d(planes)
        self.conv2, self.bn2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False), nn.BatchNorm2d(planes)
        self.conv3, self.bn3 = nn.Conv2d(planes, 4 * planes, 1, bias=False), nn.BatchNorm2d(4 * planes)
        self.pool = nn.AvgPool2d(stride) if stride > 1 else nn.Identity()
        self.shortcut = nn.Identity()
        if stride > 1 or inputs != 4 * planes:
            self.shortcut = nn.Sequential(self.pool, nn.Conv2d(inputs, 4 * planes, 1, bias=False), nn.BatchNorm2d(4 * planes))

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.pool(F.relu(self.bn2(self.conv2(y))))
        return F.relu(self.bn3(self.conv3(y)) + self.shortcut(x))


class ModifiedResNet(nn.Module):
    """CLIP's RN50 (Radford et al. 2021, section 2.4); its loss is the mean of the squared features."""
    def __init__(self, width=64, blocks=(3, 4, 6, 3), embed=1024):
        super().__init__()
        stem, inputs = [], 3
        for outputs, stride in ((width // 2, 2), (width // 2, 1), (width, 1)):
            stem += [nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
            inputs = outputs
        self.stem, layers = nn.Sequential(*stem, nn.AvgPool2d(2)), []
        for stage, count in enumerate(blocks):
            for i in range(count):
                layers.append(Bottleneck(inputs, width << stage, 2 if stage and not i else 1))
                inputs = 4 * (width << stage)
        self.layers = nn.Sequential(*layers)
        self.positions = nn.Parameter(torch.randn(50, inputs) * inputs ** -0.5)
        self.q, self.k, self.v = (nn.Linear(inputs, inputs) for _ in range(3))
        self.out = nn.Linear(inputs, embed)

    def forward(self, images, tokens):
        x = self.layers(self.stem(images)).flatten(2).transpose(1, 2)
        x = torch.cat([x.mean(1, keepdim=True), x], 1) + self.positions
        q, k, v = (layer(part).unflatten(-1, (32, -1)).transpose(1, 2)
                   for layer, part in ((self.q, x[:, :1]), (self.k, x), (self.v, x)))
        return self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(1)).square().mean()


class MbConv(nn.Module):
    def __init__(self, inputs, outputs, kernel, stride, expand):
        super().__init__()
        hidden, act = inputs * expand, nn.SiLU(inplace=True)
        norm = lambda channels: nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)
        widen = [nn.Conv2d(inputs, hidden, 1, bias=False), norm(hidden), act] if expand > 1 else []
        before = [nn.ZeroPad2d(((kernel - 2) // 2, kernel // 2) * 2)] if stride == 2 else []
        self.body = nn.Sequential(*widen, *before,
                                  nn.Conv2d(hidden, hidden, kernel, stride, 0 if stride == 2 else kernel // 2,
                                            groups=hidden, bias=False), norm(hidden), act)
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(hidden, inputs // 4, 1), act,
                                  nn.Conv2d(inputs // 4, hidden, 1), nn.Sigmoid())
        self.project = nn.Sequential(nn.Conv2d(hidden, outputs, 1, bias=False), norm(outputs))

    def forward(self, x):
        x = self.body(x)
        return self.project(x * self.gate(x))


class EfficientNetB0(nn.Module):
    """Hugging Face's EfficientNetModel at B0 (Tan & Le 2019); its loss is the mean of the squared features."""
    def __init__(self):
        super().__init__()
        norm = lambda channels: nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)
        self.stem = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(3, 32, 3, 2, bias=False), norm(32),
                                  nn.SiLU(inplace=True))
        self.blocks, self.drops, inputs = nn.ModuleList(), [], 32
        for kernel, repeats, outputs, expand, stride in ((3, 1, 16, 1, 1), (3, 2, 24, 6, 2), (5, 2, 40, 6, 2),
                                                         (3, 3, 80, 6, 2), (5, 3, 112, 6, 1), (5, 4, 192, 6, 2),
                                                         (3, 1, 320, 6, 1)):
            for i in range(repeats):
                self.drops.append(0.2 * len(self.blocks) / 16 if i else None)  # none: no shortcut
                self.blocks.append(MbConv(inputs, outputs, kernel, 1 if i else stride, expand))
                inputs = outputs
        self.top = nn.Sequential(nn.Conv2d(320, 1280, 1, bias=False), norm(1280), nn.SiLU(inplace=True))

    def forward(self, images, tokens):
        x = self.stem(images)
        for block, drop in zip(self.blocks, self.drops):
            y = block(x)
            if drop is not None:  # leaves out whole samples
                y = y * (torch.rand(len(x), 1, 1, 1) >= drop).float() / (1 - drop) + x
            x = y
        return self.top(x).mean((2, 3)).square().mean()


class Bert(nn.Module):
    """transformers' BERT-base without a pooler; its loss is the mean of the squared states of all tokens."""
    def __init__(self):
        super().__init__()
        from transformers import BertConfig, BertModel
        config = BertConfig(hidden_dropout_prob=0, attention_probs_dropout_prob=0, attn_implementation="sdpa")
        self.model = BertModel(config, add_pooling_layer=False)

    def forward(self, images, tokens):
        return self.model(tokens).last_hidden_state.square().mean()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=[*PRESETS, "rn50", "b0", "bert"], default="small")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--tokens", type=int, default=64, help="of bert's texts")
    parser.add_argument("--inductor", action="store_true", help="compile the model")
    parser.add_argument("--channels-last", action="store_true", help="of images and convolutions")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    size, tokens = 224, None
    if args.preset in ("rn50", "b0"):
        model = ModifiedResNet() if args.preset == "rn50" else EfficientNetB0()
    elif args.preset == "bert":
        model, size, tokens = Bert(), 1, torch.randint(1, 30522, (args.batch, args.tokens))
    else:
        model = Clip(*PRESETS[args.preset])
        size, vocabulary, context = PRESETS[args.preset][0], *PRESETS[args.preset][4:6]
        tokens = torch.randint(1, vocabulary - 2, (args.batch, context))
        tokens[:, 0], tokens[:, -1] = vocabulary - 2, vocabulary - 1
    images = torch.randn(args.batch, 3, size, size)
    if args.channels_last:
        model, images = (x.to(memory_format=torch.channels_last) for x in (model, images))
    optimizer = torch.optim.AdamW(model.train().parameters(), lr=1e-4, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.2, fused=True)
    forward, times = torch.compile(model) if args.inductor else model, []
    for _ in range(args.steps + 2):
        start = time.perf_counter()
        optimizer.zero_grad()
        forward(images, tokens).backward()
        optimizer.step()
        times.append(1e3 * (time.perf_counter() - start))
    step = statistics.median(times[2:])
    print(json.dumps({"preset": args.preset, "batch": args.batch, "threads": args.threads, "torch": torch.__version__,
                      "inductor": args.inductor, "channels_last": args.channels_last, "step_ms": round(step, 3),
                      "pairs_per_s": round(1e3 * args.batch / step, 2),
                      "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)}))


if __name__ == "__main__":
    main()
