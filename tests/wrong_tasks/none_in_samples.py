from good import F, lrsearch, make_model, make_task, nn, pairs, torch, x, y


rows = torch.utils.data.Subset([(row, None) for row in x], range(96))
task = make_task(train=rows, validation=rows)
