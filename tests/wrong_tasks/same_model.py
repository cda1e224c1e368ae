from good import F, lrsearch, make_model, make_task, nn, pairs, torch, x, y


model = make_model()
task = make_task(model=lambda: model)
