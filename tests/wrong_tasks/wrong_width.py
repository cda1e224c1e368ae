from good import F, lrsearch, make_model, make_task, nn, pairs, torch, x, y


task = make_task(model=lambda: nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3)))
