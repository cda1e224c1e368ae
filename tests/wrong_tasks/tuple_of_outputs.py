from good import make_task, nn


class Twice(nn.Linear):
    def forward(self, inputs):
        return super().forward(inputs), inputs


task = make_task(model=lambda: Twice(4, 3))
