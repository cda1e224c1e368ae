from good import F, make_task, nn, pairs, x, y

task = make_task(model=lambda: nn.Linear(4, 1), loss=F.binary_cross_entropy, **pairs(x, y % 2))
