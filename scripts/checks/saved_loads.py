"""Checkpoints saved by Ashlar, loaded by transformers: the same logits, in both major versions.

    python scripts/fixtures/models.py random DIR --seed 7        # transformers 5, torch
    for each family F in DIR:
        ashlar models convert DIR/F --dtype f32 --out DIR/F-saved
        cargo run --release -p ashlar-models --example rewrite DIR/F DIR/F-complete
    python scripts/checks/saved_loads.py DIR                     # once with transformers 5.23, once with 4.57.1

`-saved` has the checkpoint's own config.json, `-complete` one written from the specification alone. The reference is
transformers 5 in float64 on the original checkpoint; logits reach 8 to 16.
"""

import argparse
import os
import sys

import torch
import transformers
from safetensors.torch import load_file

parser = argparse.ArgumentParser()
parser.add_argument("dir")
args = parser.parse_args()
major = int(transformers.__version__.split(".")[0])
worst = 0.0
for name in sorted(os.listdir(args.dir)):
    if not name.endswith(("-saved", "-complete")):
        continue
    family = name.rsplit("-", 1)[0]
    # No version 4 can follow qwen2_moe's windows; these checkpoints have none.
    expected = load_file(os.path.join(args.dir, family, "expected.safetensors"))
    more = dict(experts_implementation="eager") if major >= 5 else {}
    model, info = transformers.AutoModelForCausalLM.from_pretrained(
        os.path.join(args.dir, name), dtype=torch.float64, attn_implementation="eager", output_loading_info=True, **more
    )
    trouble = {k: v for k, v in info.items() if v}
    rows = []
    with torch.no_grad():
        for ids, mask in zip(expected["ids"].long(), expected["mask"]):
            rows.append(model(input_ids=ids[mask == 1][None], use_cache=False).logits[0])
    off = (torch.cat(rows) - expected["logits"].double()).abs().max().item()
    worst = max(worst, off)
    print(f"{name:22} {off:.1e} {trouble or ''} dtype {model.config.dtype if major >= 5 else model.config.torch_dtype}")
print(f"transformers {transformers.__version__}: largest difference {worst:.1e}")
sys.exit(worst > 5e-5)
