"""Audit bounds beside jax_privacy, scipy and the responsible-ai toolbox, as a Markdown table.

    python -m venv .venv
    .venv/bin/pip install numpy==2.4.6 scipy==1.17.1 pandas statsmodels multimethod absl-py attrs dm-tree
    .venv/bin/pip install --no-deps jax_privacy==2.0.0 dp_accounting==0.6.0 privacy-estimates==0.1.0.post1
    cargo build --release -p ashlar-audit --features cli
    .venv/bin/python scripts/peers/audit.py --binary target/release/ashlar-audit [--toolbox-minutes 10]

Times are CPU time, which other work on the machine disturbs less than the clock. Ours is a whole process, start and printing
included; the peers are timed inside a warm interpreter (the toolbox as a process). Everything runs on one thread.
"""

import os

for pool in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[pool] = "1"

import argparse
import importlib.util
import json
import pathlib
import resource
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time

import numpy as np
from scipy import integrate, optimize, stats

parser = argparse.ArgumentParser()
parser.add_argument("--binary", required=True)
parser.add_argument("--repeat", type=int, default=15)
parser.add_argument("--toolbox-minutes", type=float, default=10.0, help="give up on the toolbox after this; 0 leaves it out")
args = parser.parse_args()

path = pathlib.Path(sysconfig.get_paths()["purelib"]) / "jax_privacy" / "auditing.py"
spec = importlib.util.spec_from_file_location("auditing", path)
jax_privacy = importlib.util.module_from_spec(spec)
sys.modules["auditing"] = jax_privacy
spec.loader.exec_module(jax_privacy)


def children():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def ours(*flags):
    command = [args.binary, *map(str, flags), "--format", "json", "--quiet"]
    times = []
    for _ in range(args.repeat):
        start = children()
        done = subprocess.run(command, capture_output=True, check=True)
        times.append(children() - start)
    return statistics.median(times), json.loads(done.stdout)


def theirs(f, repeat=3):
    times = []
    for _ in range(repeat):
        start = time.process_time()
        value = f()
        times.append(time.process_time() - start)
    return statistics.median(times), value


def row(name, peer, mine, other):
    (own_s, own), (peer_s, value) = mine, other
    print(f"| {name} | {own_s * 1e3:.1f} | {peer} | {peer_s * 1e3:.1f} | {peer_s / own_s:.1f} | {own} | {value} |", flush=True)


def shown(pair, *keys):
    seconds, answer = pair
    return seconds, ", ".join(f"{answer[key]:.6f}" for key in keys)


print("| what | ours, CPU ms | peer | peer, CPU ms | ratio | our value | peer's value |\n|---|---|---|---|---|---|---|")
start = children()
for _ in range(args.repeat):
    subprocess.run([args.binary, "--version"], capture_output=True, check=True)
start = (children() - start) / args.repeat
print(f"| process start (`--version`) | {start * 1e3:.1f} | | | | | |")

m, r, v = 10**6, 10**5, 80_000
for delta in (1e-7, 0.0):
    mine = ours("epsilon", "--method", "one-run", "--canaries", m, "--guesses", r, "--correct", v, "--delta", delta)
    peer = theirs(lambda: jax_privacy._epsilon_one_run(0, m, r, v, 1 - 0.95, delta))
    row(f"one-run, m = 1e6, r = 1e5, delta = {delta:g}", "jax_privacy", shown(mine, "epsilon_lower"), (peer[0], f"{peer[1]:.6f}"))
mine = ours("epsilon", "--method", "one-run-fdp", "--canaries", 10**5, "--guesses", 10**4, "--correct", 8_000)
peer = theirs(lambda: jax_privacy._epsilon_one_run_fdp(0, 10**5, 10**4, 8_000, 1 - 0.95, 1e-5), 1)
row("one-run f-DP, m = 1e5, r = 1e4", "jax_privacy", shown(mine, "epsilon_lower"), (peer[0], f"{peer[1]:.6f}"))

rng = np.random.default_rng(0)
members, nonmembers = rng.normal(0.92493, 1, 50_000), rng.normal(0, 1, 50_000)
with tempfile.TemporaryDirectory() as folder:
    file = pathlib.Path(folder) / "scores.json"
    file.write_text(json.dumps({"members": members.tolist(), "nonmembers": nonmembers.tolist()}))
    for method, name in (("one-run", "epsilon_one_run"), ("clopper-pearson", "epsilon_clopper_pearson"), ("one-run-fdp", "epsilon_one_run_fdp")):
        mine = ours("epsilon", "--scores", file, "--method", method, "--select", "bonferroni", "--delta", "1e-9")
        auditor = jax_privacy.CanaryScoreAuditor
        peer = theirs(lambda: getattr(auditor(members, nonmembers), name)(1 - 0.95, 1e-9), 1)
        label = f"{method}, Bonferroni over 1e5 scores"
        row(label, "jax_privacy (hull only)", shown(mine, "epsilon_lower"), (peer[0], f"{peer[1]:.6f}"))

tp, tn, fp, fn, delta, alpha = 487, 1, 512, 0, 1e-5, 0.1
mine = shown(ours("epsilon", "--method", "bayes", "--members", tp + fn, "--nonmembers", fp + tn, "--tp", tp, "--fp", fp,
                  "--delta", delta, "--confidence", 1 - alpha), "epsilon_lower", "epsilon_upper")


def by_scipy():
    """One quad over the false-positive rate between both boundaries, brentq to 1e-8."""
    fpr, fnr = stats.beta(0.5 + fp, 0.5 + tn), stats.beta(0.5 + fn, 0.5 + tp)

    def inside(epsilon):
        low = lambda x: max(0.0, 1 - delta - np.exp(epsilon) * x, (1 - delta - x) * np.exp(-epsilon))
        integrand = lambda x: fpr.pdf(x) * (fnr.cdf(1 - low(1 - x)) - fnr.cdf(low(x)))
        cuts = sorted({0.0, *fpr.ppf([1e-12, 1e-3, 0.5, 0.999]), 1.0})
        return sum(integrate.quad(integrand, a, b, epsabs=1e-9, limit=200)[0] for a, b in zip(cuts, cuts[1:]))

    return [optimize.brentq(lambda e: inside(e) - goal, 0, 20, xtol=1e-8) for goal in (alpha / 2, 1 - alpha / 2)]


peer = theirs(by_scipy, 1)
row("Bayes interval, 1,000 trials", "scipy quad + brentq", mine, (peer[0], ", ".join(f"{x:.6f}" for x in peer[1])))

if args.toolbox_minutes > 0:
    code = ("from privacy_estimates import AttackResults, compute_eps_lo_hi\n"
            f"print(*compute_eps_lo_hi(count=AttackResults(FN={fn}, FP={fp}, TN={tn}, TP={tp}), delta={delta}, alpha={alpha}, method='joint-beta'))")
    start = children()
    try:
        done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=60 * args.toolbox_minutes)
        value = ", ".join(f"{float(x):.6f}" for x in done.stdout.split()) or done.stderr.strip().splitlines()[-1]
    except subprocess.TimeoutExpired:
        value = f"not done in {args.toolbox_minutes:g} minutes"
    row("Bayes interval, 1,000 trials", "privacy-estimates joint-beta", mine, (children() - start, value))
