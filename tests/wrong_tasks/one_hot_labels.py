from good import F, lrsearch, make_model, make_task, nn, pairs, torch, x, y


task = make_task(**pairs(x, F.one_hot(y)))
