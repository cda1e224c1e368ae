from good import make_task, nn, pairs, x, y

task = make_task(model=lambda: nn.Sequential(nn.Linear(4, 3)), **pairs(x.reshape(96, 2, 2), y))
