"""Writes folders of BertModel and BertForMaskedLM, with inputs and what transformers computes in float64.

    make_bert_golden.py [CASE ...] [--output DIR]     the cases of the tests, or those named
    make_bert_golden.py --random N --seed S --output DIR    N other sizes, below DIR

Each folder has config.json and model.safetensors, with small random parameters that f32 holds exactly, and

    inputs.safetensors    input_ids (B, L) i64, attention_mask and token_type_ids (B, L) i64 in some; of
                          BertForMaskedLM labels (B, L) i64, -100 where nothing is to be predicted; of BertModel
                          cotangent.NAME, weights of the outputs, whose weighted sum is the loss
    outputs.safetensors   f64: last_hidden_state and, with a pooler, pooler_output, or logits, zero where the mask is;
                          loss; grad.NAME, the loss's gradient, for every parameter

Needs torch and transformers.
"""
import argparse
import dataclasses
import json
import pathlib
import random
import shutil

import torch
from safetensors.torch import save_file
from transformers import BertConfig, BertForMaskedLM, BertModel


@dataclasses.dataclass
class Case:
    masked_lm: bool = False
    pooler: bool = True
    seed: int = 1
    batch: int = 4
    vocabulary: int = 40
    context: int = 12
    length: int = 9
    types: int = 2
    width: int = 15
    layers: int = 2
    heads: int = 3
    hidden: int = 22
    activation: str = "gelu"
    eps: float = 1e-12
    pad: int = 0
    mask: bool = True
    token_types: bool = True


CASES = {
    "hf_bert": Case(),
    "hf_bert_without_pooler": Case(seed=2, pooler=False, width=20, heads=4, hidden=37, types=1, token_types=False,
                                   mask=False, layers=1, pad=5),
    "hf_bert_masked_lm": Case(seed=3, masked_lm=True, width=21, hidden=30, vocabulary=43, types=3),
    "hf_bert_masked_lm_tanh": Case(seed=4, masked_lm=True, width=24, heads=2, activation="gelu_new", pad=3, batch=3,
                                   length=12, eps=1e-5, layers=1),
}


@torch.no_grad()
def randomise(model, generator):
    """Values without zeros and ones, so that no term of any formula vanishes, rounded to f32."""
    for name, tensor in model.named_parameters():
        if tensor.dim() == 1 and name.endswith("weight"):
            tensor.uniform_(0.5, 1.5, generator=generator)
        else:
            spread = 0.2 if tensor.dim() == 1 else tensor.shape[1] ** -0.5
            tensor.normal_(0, spread, generator=generator)
        tensor.copy_(tensor.float())


def make_inputs(case, generator):
    shape = (case.batch, case.length)
    ids = torch.randint(0, case.vocabulary, shape, generator=generator)
    lengths = torch.randint(1, case.length + 1, (case.batch, 1), generator=generator)
    lengths[0] = case.length
    mask = (torch.arange(case.length) < lengths).long() if case.mask else torch.ones(shape, dtype=torch.int64)
    inputs = {"input_ids": torch.where(mask == 1, ids, case.pad)}
    if case.mask:
        inputs["attention_mask"] = mask
    if case.token_types:
        inputs["token_type_ids"] = torch.randint(0, case.types, shape, generator=generator)
    if case.masked_lm:
        labels = torch.randint(0, case.vocabulary, shape, generator=generator)
        chosen = (torch.rand(shape, generator=generator) < 0.4) & (mask == 1)
        chosen[0, 0] = True
        inputs["labels"] = torch.where(chosen, labels, -100)
    else:
        inputs["cotangent.last_hidden_state"] = torch.randn(*shape, case.width, generator=generator) * mask[:, :, None]
        if case.pooler:
            inputs["cotangent.pooler_output"] = torch.randn(case.batch, case.width, generator=generator)
    return inputs


def run(model, case, inputs):
    """The outputs, the loss last."""
    out = model(**{name: value for name, value in inputs.items() if not name.startswith("cotangent.")})
    mask = inputs.get("attention_mask", torch.ones_like(inputs["input_ids"]))[:, :, None]
    if case.masked_lm:
        return {"logits": out.logits * mask, "loss": out.loss}
    values = {"last_hidden_state": out.last_hidden_state * mask}
    if case.pooler:
        values["pooler_output"] = out.pooler_output
    values["loss"] = sum((value * inputs["cotangent." + name].double()).sum() for name, value in values.items())
    return values


def write(case, folder):
    generator = torch.Generator().manual_seed(case.seed)
    config = BertConfig(vocab_size=case.vocabulary, hidden_size=case.width, num_hidden_layers=case.layers,
                        num_attention_heads=case.heads, intermediate_size=case.hidden, hidden_act=case.activation,
                        max_position_embeddings=case.context, type_vocab_size=case.types, layer_norm_eps=case.eps,
                        pad_token_id=case.pad)
    model = BertForMaskedLM(config) if case.masked_lm else BertModel(config, add_pooling_layer=case.pooler)
    model = model.double().eval()
    randomise(model, generator)
    inputs = make_inputs(case, generator)
    outputs = run(model, case, inputs)
    outputs["loss"].backward()
    outputs |= {"grad." + name: p.grad for name, p in model.named_parameters()}
    outputs = {name: value.detach().clone(memory_format=torch.contiguous_format) for name, value in outputs.items()}

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    config.architectures = [type(model).__name__]
    config.save_pretrained(folder)
    save_file({name: value.detach().float().contiguous() for name, value in model.named_parameters()},
              folder / "model.safetensors", {"format": "pt"})
    save_file(inputs, folder / "inputs.safetensors")
    save_file(outputs, folder / "outputs.safetensors", {"case": json.dumps(dataclasses.asdict(case))})
    print(folder, sum(file.stat().st_size for file in folder.iterdir()), "bytes")


def random_case(seed):
    rng = random.Random(seed)
    heads = rng.randint(1, 8)
    width = heads * rng.choice([1, 3, 4, 5, 8, 12, 16, 20, 24] + ([64, 80] if heads <= 2 else []))
    context, vocabulary, types = rng.randint(1, 40), rng.randint(2, 200), rng.randint(1, 4)
    return Case(masked_lm=rng.random() < 0.5, pooler=rng.random() < 0.7, seed=seed, batch=rng.randint(1, 9),
                vocabulary=vocabulary, context=context, length=rng.randint(1, context), types=types, width=width,
                layers=rng.randint(1, 4), heads=heads, hidden=rng.randint(1, 4 * width),
                activation=rng.choice(["gelu", "gelu_new", "relu"]), eps=rng.choice([1e-12, 1e-5]),
                pad=rng.randint(0, vocabulary - 1), mask=rng.random() < 0.7, token_types=rng.random() < 0.7)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path(__file__).parent / "published")
    parser.add_argument("--random", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # the same sums on any machine
    for i in range(arguments.random):
        write(random_case(arguments.seed + i), arguments.output / f"random_{arguments.seed + i}")
    if not arguments.random:
        for name in arguments.cases or CASES:
            write(CASES[name], arguments.output / name)


if __name__ == "__main__":
    main()
