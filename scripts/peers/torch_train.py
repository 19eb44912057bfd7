"""Training steps of a small llama in PyTorch, eager, on the CPU: the peer of `train_step` and `models train`.

    python -m venv venv && venv/bin/pip install torch==2.15.0
    venv/bin/python scripts/peers/torch_train.py --threads 2 [--text input.txt --steps 976]

Without a text: milliseconds a step at B = 8, T = 64 of `tiny:llama` (2x128, 4 heads, ff 320), `base:llama` (4x128) and
`small:llama` (4x192, 6 heads, ff 512), minimum of three rounds. With a text: trains `base:llama` on its characters as
`ashlar models train --init base:llama` does (AdamW 3e-3, betas 0.9/0.95, decay 0.1 on projections, 5 % warm-up, cosine to
10 %, clip 1) and prints the validation loss. One JSON object.
"""

import argparse
import json
import math
import time

import torch
import torch.nn.functional as F
from torch import nn


class Norm(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(d))

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * self.weight


def linear(out, width):
    layer = nn.Linear(width, out, bias=False)
    nn.init.normal_(layer.weight, std=0.02)
    return layer


class Block(nn.Module):
    def __init__(self, d, heads, ff):
        super().__init__()
        self.heads = heads
        self.n1, self.n2 = Norm(d), Norm(d)
        self.q, self.k, self.v, self.o = (linear(d, d) for _ in range(4))
        self.gate, self.up, self.down = linear(ff, d), linear(ff, d), linear(d, ff)

    def forward(self, x, cos, sin):
        b, t, d = x.shape
        h = self.n1(x)
        q, k, v = (f(h).view(b, t, self.heads, -1).transpose(1, 2) for f in (self.q, self.k, self.v))
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        z = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.o(z.transpose(1, 2).reshape(b, t, d))
        h = self.n2(x)
        return x + self.down(F.silu(self.gate(h)) * self.up(h))


def rotate(x, cos, sin):
    half = x.shape[-1] // 2
    return x * cos + torch.cat((-x[..., half:], x[..., :half]), -1) * sin


class Llama(nn.Module):
    def __init__(self, layers, d, heads, ff, vocab):
        super().__init__()
        self.embed = nn.Embedding(vocab, d)
        nn.init.normal_(self.embed.weight, std=0.02)
        self.blocks = nn.ModuleList(Block(d, heads, ff) for _ in range(layers))
        self.norm, self.head, self.hd = Norm(d), linear(vocab, d), d // heads

    def forward(self, ids):
        positions = torch.arange(ids.shape[1], dtype=torch.float32)
        frequencies = 1e4 ** (-torch.arange(0, self.hd, 2, dtype=torch.float32) / self.hd)
        angles = torch.outer(positions, frequencies).repeat(1, 2)
        cos, sin = angles.cos(), angles.sin()
        x = self.embed(ids)
        for block in self.blocks:
            x = block(x, cos, sin)
        return self.head(self.norm(x))


def optimizer(model, lr):
    plain = [p for n, p in model.named_parameters() if p.ndim < 2 or n == "embed.weight"]
    decayed = [p for n, p in model.named_parameters() if p.ndim >= 2 and n != "embed.weight"]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": plain, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.95), eps=1e-8)


def step(model, opt, rows):
    logits = model(rows[:, :-1])
    loss = F.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten())
    opt.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    opt.step()
    return loss.item()


def useful(model):
    return 6 * sum(p.numel() for n, p in model.named_parameters() if p.ndim == 2 and n != "embed.weight")


SIZES = {"tiny": (2, 128, 4, 320), "base": (4, 128, 4, 320), "small": (4, 192, 6, 512)}


def timings(out):
    for name, shape in SIZES.items():
        model = Llama(*shape, 65)
        opt = optimizer(model, 3e-3)
        rows = torch.randint(65, (8, 65))
        for _ in range(3):
            step(model, opt, rows)
        best = math.inf
        for _ in range(3):
            start = time.perf_counter()
            for _ in range(10):
                step(model, opt, rows)
            best = min(best, (time.perf_counter() - start) / 10)
        out[name] = {"ms": best * 1e3, "tokens_per_s": 512 / best, "gflops_useful": useful(model) * 512 / best / 1e9}
    a, b = torch.randn(512, 512), torch.randn(512, 512)
    best = math.inf
    for _ in range(20):
        start = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - start)
    out["gemm_512_gflops"] = 2 * 512**3 / best / 1e9


def train(out, path, steps):
    text = open(path, encoding="utf-8").read()
    table = {c: i for i, c in enumerate(sorted(set(text)))}
    ids = torch.tensor([table[c] for c in text])
    cut = int(len(ids) * 0.9)
    data, valid = ids[:cut], ids[cut:]
    model = Llama(*SIZES["base"], len(table))
    opt = optimizer(model, 3e-3)
    warm = 0.05
    start = time.perf_counter()
    for i in range(steps):
        done = (i + 1) / steps
        share = done / warm if done < warm else 0.1 + 0.45 * (1 + math.cos(math.pi * (done - warm) / (1 - warm)))
        for group in opt.param_groups:
            group["lr"] = 3e-3 * share
        at = torch.randint(len(data) - 64, (8,))
        step(model, opt, torch.stack([data[j : j + 65] for j in at]))
    out["seconds"] = time.perf_counter() - start
    out["tokens_per_s"] = steps * 512 / out["seconds"]
    with torch.no_grad():
        rows = torch.stack([valid[j : j + 65] for j in range(0, len(valid) - 64, 64)])
        logits = torch.cat([model(part[:, :-1]) for part in rows.split(64)])
        out["val_loss"] = F.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten()).item()


def main():
    args = argparse.ArgumentParser()
    args.add_argument("--threads", type=int, default=2)
    args.add_argument("--text")
    args.add_argument("--steps", type=int, default=976)
    args.add_argument("--seed", type=int, default=0)
    args = args.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    out = {"torch": torch.__version__, "threads": args.threads}
    if args.text:
        train(out, args.text, args.steps)
    else:
        timings(out)
    print(json.dumps(out))


main()
