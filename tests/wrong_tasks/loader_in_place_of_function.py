from good import make_task, torch, x, y

task = make_task(train=torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y)))
