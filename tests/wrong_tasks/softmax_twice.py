from good import F, lrsearch, make_model, make_task, nn, pairs, torch, x, y


task = make_task(model=lambda: nn.Sequential(make_model(), nn.Softmax(dim=1)))
