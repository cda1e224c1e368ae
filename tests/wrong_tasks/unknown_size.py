from good import make_task, torch, x, y


def step(model, batch):
    inputs, targets, scale = batch
    logits = model(inputs) * scale.mean()
    return -logits.log_softmax(1)[range(len(targets)), targets].median()


def collate(rows):
    inputs, targets = zip(*rows, strict=True)
    return torch.stack(inputs), torch.stack(targets), torch.ones(3)


def loader():
    rows = torch.utils.data.TensorDataset(x, y)
    return torch.utils.data.DataLoader(rows, batch_size=16, collate_fn=collate)


task = make_task(loss=None, step=step, train=loader, validation=loader)
