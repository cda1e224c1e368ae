"""Segmentation: a class for each pixel, rare classes weigh more, and some pixels have no label."""

import torch
from torch import nn
from torch.nn.functional import cross_entropy

import lrsearch

SIZE, BATCH_SIZE, UNLABELLED = 12, 16, 255
WEIGHTS = torch.tensor([0.2, 1.0, 5.0])


def make_images(count, seed):
    """Noisy images of a bright bar and a small dark square; the frame has no label."""
    generator = torch.Generator().manual_seed(seed)
    classes = torch.zeros(count, SIZE, SIZE, dtype=torch.int64)
    places = torch.randint(1, SIZE - 3, (count, 3), generator=generator).tolist()
    for image, (row, top, left) in zip(classes, places, strict=True):
        image[row] = 1
        image[top : top + 2, left : left + 2] = 2
    brightness = torch.tensor([0.0, 1.0, -1.0])[classes]
    noise = 0.5 * torch.randn(classes.shape, generator=generator)
    classes[:, 0], classes[:, -1] = UNLABELLED, UNLABELLED
    classes[: count // 4] = UNLABELLED  # as if nobody had come to label these
    return (brightness + noise)[:, None], classes


def make_model():
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 3, 3, padding=1)
    )


def task():
    return lrsearch.Task(
        model=make_model,
        train=make_images(96, seed=0),
        validation=make_images(200, seed=1),
        loss=nn.CrossEntropyLoss(weight=WEIGHTS, ignore_index=UNLABELLED),
        batch_size=BATCH_SIZE,
    )


def by_hand(epochs, lr):
    (images, classes), (val_images, val_classes) = make_images(96, 0), make_images(200, 1)
    options = {"weight": WEIGHTS, "ignore_index": UNLABELLED}
    torch.manual_seed(0)
    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    losses = []
    for epoch in range(epochs):
        model.train()
        order = torch.randperm(96, generator=torch.Generator().manual_seed(epoch))
        for batch in order.split(BATCH_SIZE):
            optimizer.zero_grad()
            cross_entropy(model(images[batch]), classes[batch], **options).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            losses.append(cross_entropy(model(val_images), val_classes, **options).item())
    return model.state_dict(), losses
