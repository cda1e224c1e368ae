from good import make_task, torch, x, y

rows = [(x[i], y[i], torch.tensor(1.0)) for i in range(96)]
task = make_task(
    train=rows and torch.utils.data.Subset(rows, range(64)),
    validation=torch.utils.data.Subset(rows, range(64, 96)),
)
