from good import make_model, make_task

model = make_model()
task = make_task(model=lambda: model)
