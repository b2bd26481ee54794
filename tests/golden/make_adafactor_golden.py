"""Writes adafactor.safetensors: weights after steps of big_vision's Adafactor, in float64.

    make_adafactor_golden.py [--check-optax]

The formulae are restated in NumPy from google-research/big_vision, big_vision/optax.py (`scale_by_adafactor` and the
chain of `make`), and optax, `scale_by_factored_rms` and `ema`. --check-optax compares them, in float32, with optax itself.

Tensors start at cos(0.37 i) of their element i; the gradient of step t is sin(1.3 t + 0.7 i) (1 + i % 5). The learning rate
of step t is 1e-2 (t + 1) / 20, that of the schedule's peak 1e-2, the weight decay 0.3 times the schedule, on tensors of two
axes or more.
"""
import argparse
import pathlib

import numpy as np
from safetensors.numpy import save_file

SHAPES = {"matrix": (40, 48), "tall": (70, 33), "narrow": (20, 50), "vector": (48,), "filters": (34, 2, 2, 36),
          "stack": (3, 32, 40)}
STEPS, PEAK, DECAY = 20, 1e-2, 0.3


def start(shape):
    return np.cos(0.37 * np.arange(np.prod(shape))).reshape(shape)


def gradient(shape, t):
    i = np.arange(np.prod(shape))
    return (np.sin(1.3 * t + 0.7 * i) * (1 + i % 5)).reshape(shape)


def bf16(x):
    bits = np.asarray(x, np.float32).view(np.uint32)
    bits = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) & np.uint32(0xFFFF0000)
    return bits.view(np.float32).astype(np.float64)


class Adafactor:
    """scale_by_adafactor() with its defaults, for one tensor."""

    def __init__(self, shape):
        order = np.argsort(shape, kind="stable")
        self.axes = tuple(sorted(order[-2:])) if len(shape) > 1 and shape[order[-2]] >= 32 else None
        if self.axes:
            self.rows = np.zeros(np.delete(shape, self.axes[1]))
            self.columns = np.zeros(np.delete(shape, self.axes[0]))
        else:
            self.v = np.zeros(shape)
        self.m = np.zeros(shape)
        self.t = 0

    def update(self, g):
        self.t += 1
        beta = min(0.999, 1 - self.t ** -0.8)
        square = g * g + 1e-30
        if self.axes:
            a, b = self.axes
            self.rows = beta * self.rows + (1 - beta) * square.mean(b)
            self.columns = beta * self.columns + (1 - beta) * square.mean(a)
            row = (self.rows / self.rows.mean(a, keepdims=True)) ** -0.5
            u = g * np.expand_dims(row, b) * np.expand_dims(self.columns ** -0.5, a)
        else:
            self.v = beta * self.v + (1 - beta) * square
            u = g * self.v ** -0.5
        m = 0.1 * u + bf16(bf16(0.9) * self.m)  # JAX multiplies a bf16 array by a Python number in bf16
        self.m = bf16(m)
        return m


def run(shape):
    weight, optimizer = start(shape), Adafactor(shape)
    for t in range(STEPS):
        schedule = (t + 1) / 20
        update = optimizer.update(gradient(shape, t))
        weight = weight - schedule * (PEAK * update + (DECAY * weight if len(shape) > 1 else 0))
    return weight, optimizer


def check_optax():
    import jax.numpy as jnp
    import optax

    def decay_rate(i, exponent):
        return jnp.minimum(0.999, 1.0 - (jnp.array(i, jnp.float32) + 1.0) ** (-exponent))

    transform = optax.chain(
        optax.scale_by_factored_rms(factored=True, decay_rate=0.8, step_offset=0, min_dim_size_to_factor=32,
                                    epsilon=1e-30, decay_rate_fn=decay_rate),
        optax.ema(0.9, debias=False, accumulator_dtype=jnp.bfloat16), optax.scale(PEAK),
        optax.add_decayed_weights(DECAY, lambda tree: {name: x.ndim > 1 for name, x in tree.items()}),
        optax.scale_by_schedule(lambda count: (count + 1) / 20), optax.scale(-1.0))
    weights = {name: jnp.asarray(start(shape), jnp.float32) for name, shape in SHAPES.items()}
    state = transform.init(weights)
    for t in range(STEPS):
        gradients = {name: jnp.asarray(gradient(shape, t), jnp.float32) for name, shape in SHAPES.items()}
        updates, state = transform.update(gradients, state, weights)
        weights = optax.apply_updates(weights, updates)
    for name, shape in SHAPES.items():
        print(name, "differs from optax by", np.abs(np.asarray(weights[name], np.float64) - run(shape)[0]).max())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check-optax", action="store_true")
    if parser.parse_args().check_optax:
        check_optax()
    tensors = {name: run(shape)[0] for name, shape in SHAPES.items()}
    path = pathlib.Path(__file__).parent / "adafactor.safetensors"
    save_file(tensors, path)
    print(path, path.stat().st_size, "bytes")
