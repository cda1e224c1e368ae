"""A training script as people have them, without lrsearch and, to start quickly, without torch.

Its valid loss is lowest at a learning rate of 0.01. With `--wait-while FILE` it
waits after its third epoch while FILE exists.
"""

import argparse
import json
import math
import random
import time
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, required=True)
parser.add_argument("--opt", choices=["SGD", "AdamW"], default="SGD")
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=6)
parser.add_argument("--save", type=Path)
parser.add_argument("--resume", type=Path)
parser.add_argument("--wait-while", type=Path)
parser.add_argument("--pause", type=float, default=0.02)

if __name__ == "__main__":
    args = parser.parse_args()
    noise = random.Random(args.seed).gauss(0, 0.01)
    start = 0
    if args.resume is not None:
        start = json.loads(args.resume.read_text())["epoch"]
    for epoch in range(start + 1, args.epochs + 1):
        time.sleep(args.pause)
        while args.wait_while is not None and epoch > 3 and args.wait_while.exists():
            time.sleep(0.02)
        loss = (math.log10(args.lr) + 2) ** 2 + 1 / epoch + noise + (args.opt == "AdamW")
        if args.save is not None:
            args.save.write_text(json.dumps({"epoch": epoch}))
        print(f"epoch {epoch:3d} | valid loss {loss:.6f}")
    print("done")
