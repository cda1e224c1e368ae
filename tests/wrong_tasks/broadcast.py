from good import F, lrsearch, make_model, make_task, nn, pairs, torch, x, y


task = make_task(model=lambda: nn.Linear(4, 1), loss=F.mse_loss, **pairs(x, x[:, 0]))
