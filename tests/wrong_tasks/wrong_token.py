from good import make_task, nn, pairs, torch, y

tokens = torch.arange(96).reshape(96, 1).expand(96, 4).contiguous()
task = make_task(
    model=lambda: nn.Sequential(nn.Embedding(10, 2), nn.Flatten(), nn.Linear(8, 3)),
    **pairs(tokens, y),
)
