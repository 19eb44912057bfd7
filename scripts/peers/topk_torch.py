"""torch.topk(|x|) on one thread: median milliseconds as JSON.

Run beside `ashlar-kernels --threads 1 bench --filter topk`. Pinned: torch==2.15.0, numpy==2.4.
    python scripts/peers/topk_torch.py [--n 16777216] [--repeat 5]
"""

import argparse
import json
import statistics
import time

import torch

parser = argparse.ArgumentParser()
parser.add_argument("--n", type=int, default=1 << 24)
parser.add_argument("--repeat", type=int, default=5)
args = parser.parse_args()

torch.set_num_threads(1)
torch.manual_seed(1)
x = torch.randn(args.n)


def median_ms(work):
    work()
    times = []
    for _ in range(args.repeat):
        start = time.perf_counter()
        work()
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times)


result = {"torch": torch.__version__, "n": args.n, "threads": 1, "read_sum_ms": median_ms(lambda: x.sum())}
for share in (0.001, 0.01, 0.1):
    k = round(share * args.n)
    result[f"topk_{share:g}_ms"] = median_ms(lambda: torch.topk(x.abs(), k, sorted=False))
print(json.dumps(result))
