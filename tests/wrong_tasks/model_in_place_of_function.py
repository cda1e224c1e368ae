from good import make_model, make_task

task = make_task(model=make_model())
