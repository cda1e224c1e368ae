from good import F, make_task


def step(model, batch):
    return F.cross_entropy(model(batch[0]), batch[1])


task = make_task(loss=None, step=step, score=lambda model, batch: {"loss": step(model, batch)})
