from good import F, lrsearch, make_model, make_task, nn, pairs, torch, x, y


class Twice(nn.Linear):
    def forward(self, inputs):
        return super().forward(inputs), inputs


task = make_task(model=lambda: Twice(4, 3))
