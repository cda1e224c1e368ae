from good import make_model, make_task, torch


def on_meta():
    with torch.device("meta"):
        return make_model()


task = make_task(model=on_meta)
