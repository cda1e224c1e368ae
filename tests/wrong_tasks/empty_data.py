from good import F, lrsearch, make_model, make_task, nn, pairs, torch, x, y


task = make_task(train=(x[:0], y[:0]))
