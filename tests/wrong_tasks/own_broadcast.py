from good import make_task, nn, pairs, x


def loss(output, target):
    return ((output - target) ** 2).mean()


task = make_task(model=lambda: nn.Linear(4, 1), loss=loss, **pairs(x, x[:, 0]))
