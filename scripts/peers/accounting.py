"""Privacy accounting beside dp_accounting, prv_accountant and Opacus: value, seconds, peak memory, as a Markdown table.

Pinned: dp-accounting==0.6.0, prv-accountant==0.2.0, opacus==1.5.4 (installed with --no-deps: its accountants need no
torch, and a stand-in takes the place of its optimisers here).
    pip install dp-accounting==0.6.0 prv-accountant==0.2.0 && pip install --no-deps opacus==1.5.4
    python scripts/peers/accounting.py target/release/ashlar-dp-core [--only REGEX] [--repeat 3] [--limit-s 60]

Every figure comes from a process of its own, one after the other, on one thread. Ours is timed from start to exit;
a peer's seconds begin after its imports. Memory is the process's largest resident set. A peer that needs more than
--limit-s seconds or --limit-gb of memory is stopped, and the table says so.
"""

import argparse
import importlib.util
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import time
import types

G, L = "gaussian", "laplace"


def single(mechanism, nm, q, steps):
    return [(mechanism, nm, q, steps)]


MNIST = single(G, 1.1, 0.00426666666667, 14062)
LIST = [(G, 200.0, 1.0, 20), (G, 200.0, 1.0, 20), (G, 12.0, 1.0, 100)]
MIXED = [(G, 1.0, 0.01, 500), (G, 2.0, 0.05, 200), (L, 20.0, 1.0, 5)]

# name: (question, events, at, other value, accountant, neighbouring relation, value of the specification)
# question: epsilon (at delta), delta (at epsilon) or calibrate (events without noise, at epsilon and delta).
ROWS = {
    "1": ("epsilon", single(G, 1.0, 0.01, 1000), 1e-5, "pld", "add-remove", 1.828237),
    "2": ("epsilon", single(G, 1.0, 0.01, 1000), 1e-5, "rdp", "add-remove", 2.101366),
    "3": ("epsilon", single(G, 1.0, 1.0, 1), 1e-5, "pld", "add-remove", 4.377178),
    "4": ("epsilon", single(G, 1.0, 1.0, 1), 1e-5, "rdp", "add-remove", 4.728507),
    "5": ("epsilon", MNIST, 1e-5, "pld", "add-remove", 2.381600),
    "6": ("epsilon", MNIST, 1e-5, "rdp", "add-remove", 2.596556),
    "7": ("epsilon", single(G, 50.0, 1.0, 100), 1e-5, "pld", "add-remove", 0.725522),
    "8": ("epsilon", single(G, 50.0, 1.0, 100), 1e-5, "zcdp", "add-remove", 0.794315),
    "9": ("epsilon", single(G, 2.0, 0.05, 500), 1e-5, "gdp", "add-remove", 2.425890),
    "10": ("epsilon", single(L, 10.0, 1.0, 100), 1e-6, "pld", "add-remove", 4.692667),
    "11": ("epsilon", single(L, 10.0, 1.0, 100), 1e-6, "rdp", "add-remove", 4.984174),
    "12": ("epsilon", single(L, 1.0, 0.01, 1000), 1e-5, "pld", "add-remove", 1.123768),
    "13": ("epsilon", single(L, 1.0, 0.01, 100), 0.0, "pure", "add-remove", 1.703686),
    "14": ("epsilon", LIST, 1e-5, "pld", "add-remove", 3.551620),
    "15": ("epsilon", MIXED, 1e-6, "pld", "add-remove", 2.391963),
    "16": ("epsilon", single(G, 9.3, 0.08192, 875), 1e-5, "pld", "add-remove", 0.978421),
    "17": ("delta", single(G, 1.0, 0.01, 1000), 1.0, "pld", "add-remove", 2.612424e-3),
    "18": ("delta", single(G, 1.0, 1.0, 1), 1.0, "pld", "add-remove", 0.1269367375),
    "19": ("calibrate", single(G, None, 0.08192, 875), (1.0, 1e-5), "pld", "add-remove", 9.119014),
    "20": ("calibrate", single(G, None, 0.08192, 875), (1.0, 1e-5), "rdp", "add-remove", 9.889562),
    "21": ("calibrate", single(G, None, 1.0, 100), (1.0, 1e-5), "pld", "add-remove", 37.306316),
    "22 rho": ("convert", ["--rho", "0.5"], 1e-5, "", "", 4.728387),
    "22 mu": ("convert", ["--mu", "1.0"], 1e-5, "", "", 4.377178),
    "23": ("hpo", ["--trials", "0.05x3,0.1x3", "--final", "0.96"], 1e-5, "epsilon", "", 0.991733),
    "24": ("hpo", ["--trials", "0.05x3,0.1x3", "--target", "1.0"], 1e-5, "final_epsilon", "", 0.968484),
    "25": ("epsilon", single(G, 1.0, 0.01, 1000), 1e-5, "pld", "replace-one", 2.843446),
    "25 special": ("epsilon", single(G, 1.0, 0.01, 1000), 1e-5, "pld", "replace-special", 1.828237),
    "26": ("epsilon", single(G, 2.0, 0.05, 500), 1e-5, "pld", "add-remove", 2.532034),
    "26 replace": ("epsilon", single(G, 2.0, 0.05, 500), 1e-5, "pld", "replace-one", 4.980757),
    "27": ("epsilon", single(G, 1.0, 1.0, 1), 1e-5, "pld", "replace-one", 9.997256),
    "28": ("epsilon", single(L, 1.0, 0.01, 1000), 1e-5, "rdp", "add-remove", 1.230227),
    "29": ("epsilon", single(L, 1.0, 0.01, 100), 0.0, "pure", "replace-one", 2.337813),
    # Beyond the specification's table.
    "1 as prv": ("epsilon", single(G, 1.0, 0.01, 1000), 1e-5, "prv", "add-remove", None),
    "5 as prv": ("epsilon", MNIST, 1e-5, "prv", "add-remove", None),
    "16 as prv": ("epsilon", single(G, 9.3, 0.08192, 875), 1e-5, "prv", "add-remove", None),
    "1e5 steps": ("epsilon", single(G, 1.0, 0.001, 100_000), 1e-5, "pld", "add-remove", None),
    "1e5 steps, q 0.01": ("epsilon", single(G, 1.0, 0.01, 100_000), 1e-5, "pld", "add-remove", None),
    "delta 1e-12": ("epsilon", single(G, 4.0, 0.01, 1000), 1e-12, "pld", "add-remove", None),
    "fractional rdp": ("epsilon", single(G, 3.0, 0.3, 300), 1e-5, "rdp", "add-remove", None),
    "epsilon 0.01": ("calibrate", single(G, None, 0.01, 1000), (0.01, 1e-5), "pld", "add-remove", None),
    "epsilon 0.01, rdp": ("calibrate", single(G, None, 0.01, 1000), (0.01, 1e-5), "rdp", "add-remove", None),
}


def ours(binary, row):
    question, events, at, accountant, relation, _ = ROWS[row]
    if question in ("convert", "hpo"):
        command = {"convert": "convert", "hpo": "hpo-budget"}[question]
        key = accountant or "epsilon"
        return [binary, command, *events, "--delta", repr(at), "--format", "json"], key
    tail = ["--accountant", accountant, "--neighboring", relation, "--format", "json"]
    if question == "calibrate":
        ((mechanism, _, q, steps),) = events
        return [
            binary, "calibrate", "--mechanism", mechanism, "--sample-rate", repr(q), "--steps", str(steps),
            "--epsilon", repr(at[0]), "--delta", repr(at[1]), *tail,
        ], "noise_multiplier"
    flags = [word for m, nm, q, steps in events for word in ("--event", f"{m}:nm={nm!r},q={q!r},steps={steps}")]
    given = {"epsilon": "--delta", "delta": "--epsilon"}[question]
    return [binary, question, *flags, given, repr(at), *tail], question


# ---- the peers, each returning a value, or None where it has no answer

RELATIONS = {"add-remove": "ADD_OR_REMOVE_ONE", "replace-one": "REPLACE_ONE", "replace-special": "REPLACE_SPECIAL"}


def dp_accounting_value(row, interval=1e-4):
    import dp_accounting as dp
    from dp_accounting.pld import PLDAccountant
    from dp_accounting.rdp import RdpAccountant

    question, events, at, accountant, relation, _ = ROWS[row]
    if accountant not in ("pld", "rdp"):
        return None
    relation = dp.NeighboringRelation[RELATIONS[relation]]

    def fresh():
        return RdpAccountant(neighboring_relation=relation) if accountant == "rdp" else PLDAccountant(relation, interval)

    def event(mechanism, nm, q, steps):
        noise = dp.GaussianDpEvent(nm) if mechanism == G else dp.LaplaceDpEvent(nm)
        return dp.SelfComposedDpEvent(noise if q == 1.0 else dp.PoissonSampledDpEvent(q, noise), steps)

    def answer():
        if question == "calibrate":
            ((mechanism, _, q, steps),) = events
            make = lambda nm: event(mechanism, nm, q, steps)
            return dp.calibrate_dp_mechanism(fresh, make, at[0], at[1])
        one = fresh()
        for each in events:
            if not one.supports(event(*each)):
                return None
            one.compose(event(*each))
        return one.get_epsilon(at) if question == "epsilon" else one.get_delta(at)

    return timed(answer)


def prv_value(row):
    import prv_accountant as prv

    question, events, at, accountant, relation, _ = ROWS[row]
    if accountant not in ("pld", "prv") or question != "epsilon" or relation == "replace-one":
        return None
    if any(mechanism == L and q < 1.0 for mechanism, _, q, _ in events):
        return None

    def variable(mechanism, nm, q, steps):
        if mechanism == L:
            return prv.LaplaceMechanism(mu=1.0 / nm)
        if q == 1.0:
            return prv.GaussianMechanism(noise_multiplier=nm)
        return prv.PoissonSubsampledGaussianMechanism(noise_multiplier=nm, sampling_probability=q)

    def answer():
        steps = [one[3] for one in events]
        accountant = prv.PRVAccountant(
            prvs=[variable(*one) for one in events], max_self_compositions=steps, eps_error=0.01, delta_error=at / 1000
        )
        return accountant.compute_epsilon(delta=at, num_self_compositions=steps)[2]

    return timed(answer)


def opacus_value(row):
    # The accountants alone: the package's own __init__ imports torch.
    spec = importlib.util.find_spec("opacus")
    package = types.ModuleType("opacus")
    package.__path__ = list(spec.submodule_search_locations)
    sys.modules["opacus"] = package
    optimizers = types.ModuleType("opacus.optimizers")
    optimizers.DPOptimizer = object
    sys.modules["opacus.optimizers"] = optimizers
    from opacus.accountants import create_accountant
    from opacus.accountants.utils import get_noise_multiplier

    question, events, at, accountant, relation, _ = ROWS[row]
    name = {"rdp": "rdp", "pld": "prv", "prv": "prv", "gdp": "gdp"}.get(accountant)
    if name is None or relation == "replace-one" or question == "delta" or any(e[0] == L for e in events):
        return None

    def answer():
        if question == "calibrate":
            ((_, _, q, steps),) = events
            return get_noise_multiplier(
                target_epsilon=at[0], target_delta=at[1], sample_rate=q, steps=steps, accountant=name
            )
        one = create_accountant(name)
        one.history = [(nm, q, steps) for _, nm, q, steps in events]
        return float(one.get_epsilon(delta=at))

    return timed(answer)


def timed(answer):
    start = time.perf_counter()
    value = answer()
    return None if value is None else (float(value), time.perf_counter() - start)


PEERS = {
    "dp_accounting": dp_accounting_value,
    "dp_accounting, h 2e-5": lambda row: dp_accounting_value(row, 2e-5) if ROWS[row][3] == "pld" else None,
    "prv_accountant": prv_value,
    "opacus": opacus_value,
}


# ---- one figure, in a process of its own


def measure(command, limit_s, limit_gb, environment):
    """Seconds of the whole process, its peak memory in MiB, and its stdout; or why it was stopped."""

    def limit():
        size = int(limit_gb * 2**30)
        resource.setrlimit(resource.RLIMIT_AS, (size, size))

    start = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, preexec_fn=limit
    )
    try:
        out, _ = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return f"over {limit_s:g} s"
    seconds = time.perf_counter() - start
    return seconds, out.decode(), process.returncode


def measured(command, limit_s, limit_gb):
    """As measure, with the peak memory, which a waiting process of its own reads."""
    script = (
        "import json,resource,subprocess,sys,time\n"
        "start=time.perf_counter()\n"
        "done=subprocess.run(sys.argv[1:],stdout=subprocess.PIPE,stderr=subprocess.DEVNULL)\n"
        "seconds=time.perf_counter()-start\n"
        "peak=resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss/1024\n"
        "print(json.dumps([seconds,peak,done.returncode,done.stdout.decode()]))\n"
    )
    environment = dict(os.environ, OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", RAYON_NUM_THREADS="1")
    found = measure([sys.executable, "-c", script, *command], limit_s, limit_gb, environment)
    return found if isinstance(found, str) else json.loads(found[1])


def worker(peer, row):
    found = PEERS[peer](row)
    if found is None:
        print("null")
        return
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps([*found, peak]))


def seconds(value):
    return f"{value:.4f}" if value < 0.1 else f"{value:.2f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", help="path of ashlar-dp-core")
    parser.add_argument("--only", default="", help="rows whose name matches this regular expression")
    parser.add_argument("--repeat", type=int, default=3, help="runs a figure; the median counts")
    parser.add_argument("--limit-s", type=float, default=60.0)
    parser.add_argument("--limit-gb", type=float, default=6.0)
    parser.add_argument("--worker", nargs=1, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        worker(args.worker[0], args.binary)
        return

    print("| row | question | value | ours | s | MiB | peer | its value | s | MiB | times ours |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for row, (question, events, at, accountant, relation, expected) in ROWS.items():
        if args.only and not re.fullmatch(args.only, row):
            continue
        command, key = ours(args.binary, row)
        runs = [measured(command, args.limit_s, args.limit_gb) for _ in range(args.repeat)]
        own_s = statistics.median(run[0] for run in runs)
        own_mib = max(run[1] for run in runs)
        value = json.loads(runs[0][3])[key]
        what = " ".join(part for part in (question, accountant if question not in ("hpo", "convert") else "") if part)
        what += "" if relation in ("", "add-remove") else f", {relation}"
        first = f"| {row} | {what} | {expected or ''} | {value:.7g} | {seconds(own_s)} | {own_mib:.0f} "
        any_peer = False
        for peer in PEERS:
            if question in ("convert", "hpo"):
                break
            found = []
            for _ in range(args.repeat):
                one = measured(
                    [sys.executable, os.path.abspath(__file__), row, "--worker", peer], args.limit_s, args.limit_gb
                )
                if isinstance(one, str):
                    found = one
                    break
                _, _, code, out = one
                if code != 0 or not out.strip():
                    found = f"failed within {args.limit_gb:g} GB"
                    break
                found.append(json.loads(out.splitlines()[-1]))
                # Long ones once.
                if found[-1] is None or found[-1][1] > 2.0:
                    break
            if isinstance(found, str):
                print(f"{first}| {peer} | {found} | | | |", flush=True)
            elif found[0] is None:
                continue
            else:
                its_s = statistics.median(run[1] for run in found)
                mib = max(run[2] for run in found)
                print(
                    f"{first}| {peer} | {found[0][0]:.7g} | {seconds(its_s)} | {mib:.0f} | {its_s / own_s:.0f} |",
                    flush=True,
                )
            any_peer, first = True, "| | | | | | "
        if not any_peer:
            print(f"{first}| none | | | | |", flush=True)


if __name__ == "__main__":
    main()
