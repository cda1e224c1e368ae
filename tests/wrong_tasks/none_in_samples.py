from good import make_task, torch, x

rows = torch.utils.data.Subset([(row, None) for row in x], range(96))
task = make_task(train=rows, validation=rows)
