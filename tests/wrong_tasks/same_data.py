from good import F, lrsearch, make_model, make_task, nn, pairs, torch, x, y


task = make_task(validation=(x[:64], y[:64]))
