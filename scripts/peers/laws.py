"""Our parametric fit beside SciPy's L-BFGS-B: same table, same 4,500 starts, same gradient, same machine.

    pip install numpy==2.4.6 scipy==1.17.1
    OPENBLAS_NUM_THREADS=1 python scripts/peers/laws.py --ashlar target/release/ashlar --data ../shared/data

Prints Markdown; times are CPU seconds, which a busy machine distorts less. SciPy gets the analytic gradient and the objective divided by delta * n, as ours has them; both get one
thread, and ours two as well. "To the best" is the time until the first start, in the grid's order, has ended within 1e-6
(relative) of the best objective of all.
"""

import argparse
import itertools
import json
import platform
import resource
import subprocess
import time

import numpy as np
import scipy
from scipy.optimize import minimize

TABLE = "gemstones/wandb_dfs/wandb_df_for_fitting_hot_100b+.jsonl"


def read(path):
    rows = [json.loads(line) for line in open(path)]
    column = lambda name: np.log(np.array([row[name] for row in rows], dtype=float))
    return column("params_active_precise"), column("tokens"), column("final_loss")


def objective(theta, n, d, y, delta):
    a, b, e = theta[2] - theta[0] * n, theta[3] - theta[1] * d, np.full_like(n, theta[4])
    most = np.maximum(np.maximum(a, b), e)
    ea, eb, ee = np.exp(a - most), np.exp(b - most), np.exp(e - most)
    total = ea + eb + ee
    r = y - most - np.log(total)
    psi = np.clip(r, -delta, delta)
    p = psi / total
    scale = 1.0 / (delta * len(y))
    pa, pb = p * ea, p * eb
    gradient = np.array([pa @ n, pb @ d, -pa.sum(), -pb.sum(), -(p @ ee)]) * scale
    return float((psi * (r - 0.5 * psi)).sum() * scale), gradient


def grid():
    exponents, coefficients, floors = [0, 0.5, 1, 1.5, 2], [0, 5, 10, 15, 20, 25], [-1, -0.5, 0, 0.5, 1]
    return [np.array(p, float) for p in itertools.product(exponents, exponents, coefficients, coefficients, floors)]


def scipy_fit(n, d, y, delta, every):
    ends, began = [], time.process_time()
    for start in grid()[::every]:
        options = dict(maxcor=30, ftol=1e-15, gtol=1e-10, maxiter=2000, maxfun=20000)
        end = minimize(objective, start, args=(n, d, y, delta), jac=True, method="L-BFGS-B", options=options)
        ends.append((end.fun, time.process_time() - began, end.nfev, np.abs(end.jac).max()))
    return ends


def ours(ashlar, path, delta, threads):
    command = [ashlar, "eval", "fit-law", "parametric", "--data", path, "--delta", str(delta), "--starts", "grid"]
    command += ["--threads", str(threads), "--format", "json"]
    best = (float("inf"), float("inf"), None)
    for _ in range(3):
        began, wall = children(), time.perf_counter()
        answer = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        best = min(best, (children() - began, time.perf_counter() - wall, answer), key=lambda one: one[1])
    return best


def children():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--ashlar", default="target/release/ashlar")
    parser.add_argument("--data", default="../shared/data")
    parser.add_argument("--every", type=int, default=1, help="SciPy takes every N-th start; its time is multiplied by N")
    args = parser.parse_args()
    path = f"{args.data}/{TABLE}"
    n, d, y = read(path)
    print(f"SciPy {scipy.__version__}, NumPy {np.__version__}, Python {platform.python_version()}; {len(y)} rows\n")
    print("| δ | | objective | largest gradient | starts at the best | to the best | whole grid | SciPy's over ours |")
    print("|---|---|---|---|---|---|---|---|")
    for delta in (1e-3, 1e-4):
        ends = scipy_fit(n, d, y, delta, args.every)
        *one, answer = ours(args.ashlar, path, delta, 1)
        *two, again = ours(args.ashlar, path, delta, 2)
        assert answer == again, "threads must not change the answer"
        scale = delta * len(y)
        low = min(min(end[0] for end in ends), answer["objective"] / scale)
        at_best = [end for end in ends if end[0] <= low * (1 + 1e-6)]
        least = min(ends, key=lambda end: end[0])
        total = ends[-1][1] * args.every
        first = f"{at_best[0][1]:.1f} s" if at_best else "never"
        share = f"{len(at_best)} of {len(ends)}"
        print(f"| {delta:g} | SciPy, one thread | {least[0] * scale:.13e} | {least[3]:.0e} | {share} | {first} | {total:.1f} s | |")
        share = f"{answer['starts_at_best']} of {answer['starts']}"
        for name, (cpu, wall) in (("ours, one thread", one), ("ours, two threads", two)):
            row = f"{answer['objective']:.13e} | {answer['grad_inf']:.0e} | {share}"
            print(f"| | {name} | {row} | — | {cpu:.2f} s ({wall:.2f} s on the clock) | {total / cpu:.0f} × |", flush=True)


if __name__ == "__main__":
    main()
