"""A graph network: nodes are classified, and the adjacency matrix is a sparse buffer."""

import torch
from torch import nn
from torch.nn.functional import cross_entropy

import lrsearch

NODES, BATCH_SIZE = 240, 24


def load_graph():
    """Three groups of nodes, more edges within a group than between two; noisy features."""
    generator = torch.Generator().manual_seed(0)
    group = torch.arange(NODES) % 3
    likely = torch.where(group[:, None] == group[None], 0.08, 0.01)
    edges = (torch.rand(NODES, NODES, generator=generator) < likely).float()
    edges = ((edges + edges.T + torch.eye(NODES)) > 0).float()
    scale = edges.sum(1).rsqrt()
    features = nn.functional.one_hot(group, 3) + torch.randn(NODES, 3, generator=generator)
    return (edges * scale[:, None] * scale).to_sparse(), features, group


class GraphNetwork(nn.Module):
    """Two graph convolutions (Kipf & Welling 2017); for nodes by number it gives their classes."""

    def __init__(self):
        super().__init__()
        adjacency, features, _ = load_graph()
        self.register_buffer("adjacency", adjacency)
        self.register_buffer("features", features)
        self.first, self.second = nn.Linear(3, 16), nn.Linear(16, 3)

    def forward(self, nodes):
        hidden = torch.relu(torch.sparse.mm(self.adjacency, self.first(self.features)))
        return torch.sparse.mm(self.adjacency, self.second(hidden))[nodes]


def split():
    nodes = torch.randperm(NODES, generator=torch.Generator().manual_seed(1))
    _, _, group = load_graph()
    return (nodes[:144], group[nodes[:144]]), (nodes[144:], group[nodes[144:]])


def task():
    train, validation = split()
    return lrsearch.Task(
        model=GraphNetwork,
        train=train,
        validation=validation,
        loss=cross_entropy,
        batch_size=BATCH_SIZE,
    )


def by_hand(epochs, lr):
    (nodes, classes), (val_nodes, val_classes) = split()
    torch.manual_seed(0)
    model = GraphNetwork()
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    losses = []
    for epoch in range(epochs):
        order = torch.randperm(len(nodes), generator=torch.Generator().manual_seed(epoch))
        for batch in order.split(BATCH_SIZE):
            optimizer.zero_grad()
            cross_entropy(model(nodes[batch]), classes[batch]).backward()
            optimizer.step()
        with torch.no_grad():
            losses.append(cross_entropy(model(val_nodes), val_classes).item())
    return model.state_dict(), losses
