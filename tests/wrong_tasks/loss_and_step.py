from good import F, lrsearch, make_model, make_task, nn, pairs, torch, x, y


task = make_task(step=lambda model, batch: F.cross_entropy(model(batch[0]), batch[1]))
