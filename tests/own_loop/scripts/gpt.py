"""A small GPT in the shape of nanoGPT: steps, accumulation, a scaler, groups by dimension."""

import math

import torch
from torch import nn
from torch.nn import functional as F

torch.manual_seed(7)
data = torch.randint(16, (500,))
max_iters, eval_interval, accumulation = 12, 4, 2
learning_rate, weight_decay, grad_clip = 1e-3, 0.1, 1.0


class GPT(nn.Module):
    def __init__(self):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(16, 8), nn.Embedding(8, 8)
        self.block = nn.TransformerEncoderLayer(8, 2, 16, 0.1, batch_first=True)
        self.head = nn.Linear(8, 16, bias=False)

    def forward(self, x, y):
        h = self.wte(x) + self.wpe(torch.arange(8))
        mask = torch.full((8, 8), -math.inf).triu(1)
        logits = self.head(self.block(h, src_mask=mask))
        return F.cross_entropy(logits.flatten(0, 1), y.flatten())

    def configure_optimizers(self):
        params = [p for p in self.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in params if p.dim() >= 2], "weight_decay": weight_decay},
            {"params": [p for p in params if p.dim() < 2], "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.95))


def get_batch():
    ix = torch.randint(len(data) - 9, (4,))
    return torch.stack([data[i : i + 8] for i in ix]), torch.stack(
        [data[i + 1 : i + 9] for i in ix]
    )


@torch.no_grad()
def estimate_loss():
    model.eval()
    losses = [model(*get_batch()).item() for _ in range(3)]
    model.train()
    return sum(losses) / len(losses)


model = GPT()
optimizer = model.configure_optimizers()
scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
for iter_num in range(max_iters):
    for _ in range(accumulation):
        with torch.autocast("cpu", torch.bfloat16):
            loss = model(*get_batch()) / accumulation
        scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    torch.nn.utils.clip_grad_norm_(model.parameters(), grad_clip)
    scaler.step(optimizer)
    scaler.update()
    optimizer.zero_grad(set_to_none=True)
    if iter_num % eval_interval == eval_interval - 1:
        val_loss = estimate_loss()
        print(f"step {iter_num}: val loss {val_loss:.4f}")
