"""A token classifier of Hugging Face's transformers, tiny, from a config: batches are mappings with
`labels`, some tokens have none, and the model computes its own loss. The task needs no wrapper."""

import torch
from torch.utils.data import Dataset
from transformers import BertConfig, BertForTokenClassification

import lrsearch

WORDS, LENGTH, BATCH_SIZE, NO_LABEL = 40, 10, 16, -100


class Sentences(Dataset):
    """The label of a word is that of the word before it, modulo 3; many words have none."""

    def __init__(self, first, count):
        self.first, self.count = first, count

    def __len__(self):
        return self.count

    def __getitem__(self, i):
        generator = torch.Generator().manual_seed(self.first + i)
        words = torch.randint(0, WORDS, (LENGTH,), generator=generator)
        labels = words.roll(1) % 3
        labels[torch.rand(LENGTH, generator=generator) < (i % 4) / 4] = NO_LABEL
        return {"input_ids": words, "labels": labels}


def make_model():
    sizes = {"hidden_size": 16, "intermediate_size": 32, "max_position_embeddings": LENGTH}
    return BertForTokenClassification(
        BertConfig(
            vocab_size=WORDS, num_hidden_layers=1, num_attention_heads=2, num_labels=3, **sizes
        )
    )


def task():
    return lrsearch.Task(
        model=make_model,
        train=Sentences(0, 96),
        validation=Sentences(96, 180),
        batch_size=BATCH_SIZE,
    )


def by_hand(epochs, lr):
    stack = torch.utils.data.default_collate
    train, validation = Sentences(0, 96), Sentences(96, 180)
    torch.manual_seed(0)
    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    losses = []
    for epoch in range(epochs):
        model.train()
        order = torch.randperm(96, generator=torch.Generator().manual_seed(epoch))
        for batch in order.split(BATCH_SIZE):
            optimizer.zero_grad()
            model(**stack([train[i] for i in batch.tolist()])).loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            losses.append(model(**stack([validation[i] for i in range(180)])).loss.item())
    return model.state_dict(), losses
