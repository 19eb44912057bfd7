"""Adapters made and saved by Ashlar, loaded by PEFT: the same logits, before and after merging.

    pip install peft==0.21.2 transformers==5.23.0 torch==2.15.0
    python scripts/fixtures/models.py random DIR --seed 7
    for each family F in DIR: cargo run --release -p ashlar-models --example adapters DIR/F DIR/F-adapters
    python scripts/checks/peft_loads.py DIR

Both compute in float64; a warning of PEFT's about missing or unexpected tensors counts as a failure.
"""

import argparse
import os
import sys
import warnings

import peft
import torch
import transformers
from safetensors.torch import load_file

parser = argparse.ArgumentParser()
parser.add_argument("dir")
args = parser.parse_args()
ids = torch.arange(3, 20)[None]
worst = 0.0
for name in sorted(os.listdir(args.dir)):
    if not name.endswith("-adapters"):
        continue
    folder = os.path.join(args.dir, name)
    for kind in sorted(os.listdir(folder)):
        if kind.endswith(".safetensors"):
            continue
        base = transformers.AutoModelForCausalLM.from_pretrained(
            os.path.join(args.dir, name.removesuffix("-adapters")), dtype=torch.float64, attn_implementation="eager",
            experts_implementation="eager",
        ).eval()
        expected = load_file(os.path.join(folder, f"{kind}.safetensors"))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model = peft.PeftModel.from_pretrained(base, os.path.join(folder, kind)).eval()
        trouble = [str(w.message)[:200] for w in caught if "key" in str(w.message) or "ignored" in str(w.message)]
        with torch.no_grad():
            off = (model(input_ids=ids, use_cache=False).logits - expected["logits"]).abs().max().item()
            merged = model.merge_and_unload()(input_ids=ids, use_cache=False).logits
        off_merged = (merged - expected["merged"]).abs().max().item()
        change = (expected["logits"] - expected["base"]).abs().max().item()
        worst = max(worst, off, off_merged, 1.0 if trouble else 0.0)
        print(f"{name.removesuffix('-adapters'):11} {kind:9} {off:.1e} merged {off_merged:.1e} (changed by {change:.1f}) {trouble or ''}")
print(f"peft {peft.__version__}, transformers {transformers.__version__}: largest difference {worst:.1e}")
sys.exit(worst > 5e-5)
