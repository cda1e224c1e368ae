from good import F, lrsearch, make_model, make_task, nn, pairs, torch, x, y


labels = y.clone()
labels[50] = 7  # in no batch that is looked at first
task = make_task(**pairs(x, labels))
