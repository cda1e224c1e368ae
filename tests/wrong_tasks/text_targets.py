from good import make_task, torch, x, y

names = ["cat", "dog", "owl"]
rows = torch.utils.data.Subset([(x[i], names[y[i]]) for i in range(96)], range(96))
task = make_task(train=rows, validation=rows)
