"""Golden numbers of contrastive losses whose batch is spread over processes.

open_clip's ClipLoss (local_loss and gather_with_grad: its exact distributed mode) and SigLipLoss (each dist_impl), on 1
to 4 processes of torch.distributed (gloo), in f64. Gradients are the means over the processes, as
DistributedDataParallel makes them; a process's features are its own rows.

Usage: make_rank_losses_golden.py OUT.safetensors          (needs torch, open_clip_torch, safetensors)
"""
import importlib.util
import os
import pathlib
import sys
import tempfile

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from safetensors.torch import save_file

PAIRS, WIDTH = 12, 7


def open_clip_loss():
    """open_clip/loss.py by itself: the package wants torchvision."""
    root = pathlib.Path(importlib.util.find_spec("open_clip").origin).parent
    spec = importlib.util.spec_from_file_location("open_clip_loss", root / "loss.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def inputs():
    generator = torch.Generator().manual_seed(5)
    image = torch.randn(PAIRS, WIDTH, dtype=torch.float64, generator=generator)
    text = 0.7 * image + 0.6 * torch.randn(PAIRS, WIDTH, dtype=torch.float64, generator=generator)
    unit = torch.nn.functional.normalize
    return unit(image, dim=-1), unit(text, dim=-1), torch.tensor(9.0).double(), torch.tensor(-3.0).double()


def losses(rank, ranks):
    module = open_clip_loss()
    yield "clip", module.ClipLoss(local_loss=True, gather_with_grad=True, rank=rank, world_size=ranks)
    for impl in ("bidir", "shift", "reduce", "gather"):
        yield f"siglip.{impl}", module.SigLipLoss(rank=rank, world_size=ranks, dist_impl=impl)


def work(rank, ranks, rendezvous, out):
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=ranks)
    image, text, scale, bias = inputs()
    own = slice(rank * PAIRS // ranks, (rank + 1) * PAIRS // ranks)
    results = {}
    for name, loss_of in losses(rank, ranks):
        leaves = [x.clone().requires_grad_() for x in (image[own], text[own], scale, bias)]
        loss = loss_of(*leaves) if name.startswith("siglip") else loss_of(*leaves[:3])
        loss.backward()
        mean = loss.detach().clone()
        dist.all_reduce(mean)
        results[f"{name}.loss"] = mean / ranks
        for key, leaf in zip(("image", "text", "scale", "bias"), leaves):
            if leaf.grad is None:
                continue
            whole = torch.zeros_like(image) if leaf.dim() else torch.zeros(()).double()
            if leaf.dim():
                whole[own] = leaf.grad
            else:
                whole = leaf.grad.clone()
            dist.all_reduce(whole)
            results[f"{name}.d{key}"] = whole / ranks
    if rank == 0:
        torch.save(results, out)
    dist.destroy_process_group()


def main():
    tensors = dict(zip(("image", "text", "scale", "bias"), inputs()))
    with tempfile.TemporaryDirectory() as folder:
        for ranks in (1, 2, 3, 4):
            out = f"{folder}/{ranks}.pt"
            mp.spawn(work, (ranks, f"{folder}/rendezvous{ranks}", out), nprocs=ranks)
            for name, value in torch.load(out).items():
                # The rows' gradients of one process are ranks times their share of the mean loss's.
                tensors[f"{ranks}.{name}"] = value.contiguous()
    for impl in ("bidir", "shift", "reduce", "gather"):  # one loss, however it is exchanged
        for ranks in (2, 3, 4):
            for part in ("loss", "dimage", "dtext", "dscale", "dbias"):
                a, b = tensors[f"{ranks}.siglip.{impl}.{part}"], tensors[f"1.siglip.bidir.{part}"]
                assert torch.allclose(a, b, rtol=1e-12, atol=1e-13), (ranks, impl, part, a, b)
    save_file(tensors, sys.argv[1])


if __name__ == "__main__":
    main()
