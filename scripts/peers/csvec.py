"""csvec (repository nikitaivkin/csh, commit 391ffe5b786d5af684b963c46b0db5eabc1d72e8): median milliseconds as JSON.

None of its code is here: give a checkout. Run beside `cargo bench -p ashlar-benches --bench sketch`.
Pinned: torch==2.15.0, numpy==2.4.
    python scripts/peers/csvec.py --csvec PATH [--d 6568640] [--cols 500000] [-k 50000] [--blocks 1]
"""

import argparse
import json
import statistics
import sys
import time

import torch

parser = argparse.ArgumentParser()
parser.add_argument("--csvec", required=True, help="checkout of nikitaivkin/csh")
parser.add_argument("--d", type=int, default=6_568_640)
parser.add_argument("--rows", type=int, default=5)
parser.add_argument("--cols", type=int, default=500_000)
parser.add_argument("-k", type=int, default=50_000)
parser.add_argument("--blocks", type=int, default=1)
parser.add_argument("--repeat", type=int, default=3)
args = parser.parse_args()

sys.path.insert(0, args.csvec)
from csvec import CSVec  # noqa: E402

torch.set_num_threads(1)
torch.manual_seed(1)
x = torch.randn(args.d)


def median_ms(work, repeat):
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        work()
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times)


made = []
hash_ms = median_ms(
    lambda: made.append(CSVec(args.d, args.cols, args.rows, device="cpu", numBlocks=args.blocks)), 1
)
sketch = made[0]
result = {
    "torch": torch.__version__,
    "d": args.d,
    "rows": args.rows,
    "cols": args.cols,
    "k": args.k,
    "blocks": args.blocks,
    "threads": 1,
    "hash_setup_ms": hash_ms,
    "accumulate_ms": median_ms(lambda: sketch.accumulateVec(x), args.repeat),
    "unsketch_ms": median_ms(lambda: sketch.unSketch(k=args.k), args.repeat),
}
print(json.dumps(result))
