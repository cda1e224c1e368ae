"""What experiment trackers hold, read back with their own packages: run -> curve, params, state."""

import json
import struct

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

#: Of a curve: what is compared with the database, row by row.
COMPARED = ("lr", "train_loss", "val_loss", "mae")
#: Of W&B's files, which are LevelDB's log: bytes of a block, of its head, and of a record's head.
BLOCK, FILE_HEAD, RECORD_HEAD = 32768, 7, 7


def tensorboard_runs(folder, study="tiny"):
    """Folder name -> step -> values (as float32, which TensorBoard keeps); and the other values."""
    found = {}
    for path in sorted((folder / study).iterdir()):
        assert len(list(path.glob("events.out.tfevents.*"))) == 1, path
        events = EventAccumulator(str(path), size_guidance={"scalars": 0}).Reload()
        tags = {
            tag: [(event.step, event.value) for event in events.Scalars(tag)]
            for tag in events.Tags()["scalars"]
        }
        for tag in events.Tags()["tensors"]:  # of the TEXT page
            tags[tag] = events.Tensors(tag)[-1].tensor_proto.string_val[0].decode()
        found[path.name] = (by_step(tags), tags)
    return found


def mlflow_runs(uri, study="tiny"):
    """Run name -> step -> values; and the run, as MLflow has it."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name(study)
    if experiment is None:
        return {}
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    names = [run.info.run_name for run in runs]
    assert len(names) == len(set(names)), names
    found = {}
    for run in runs:
        history = {
            key: [
                (metric.step, metric.value)
                for metric in client.get_metric_history(run.info.run_id, key)
            ]
            for key in run.data.metrics
        }
        found[run.info.run_name] = (by_step(history), run)
    return found


def wandb_runs(folder):
    """Run id -> step -> values; and config with summary, of the newest folder of each run."""
    found = {}
    for path in sorted(folder.glob("wandb/offline-run-*/run-*.wandb")):
        history, known = {}, {}
        for record in _wandb_records(path.read_bytes()):
            if record.HasField("history"):
                values = {item.nested_key[0]: item.value_json for item in record.history.item}
                row = {key: json.loads(text) for key, text in values.items()}
                history.setdefault(row["_step"], []).append(row)
            for update in [*record.run.config.update, *record.summary.update]:
                if update.key:
                    known[update.key] = json.loads(update.value_json)
        assert all(len(rows) == 1 for rows in history.values()), path
        curve = {
            step: tuple(rows[0].get(key) for key in COMPARED) for step, rows in history.items()
        }
        found[path.name.removeprefix("run-").removesuffix(".wandb")] = (curve, known)
    return found


def by_step(tags):
    """Step -> the compared values, each of which a step has once."""
    found = {}
    for key in COMPARED:
        steps = [step for step, _ in tags.get(key, [])]
        assert len(steps) == len(set(steps)), (key, steps)
        for step, value in tags.get(key, []):
            found.setdefault(step, dict.fromkeys(COMPARED))[key] = value
    return {step: tuple(values.values()) for step, values in found.items()}


def _wandb_records(data):
    from wandb.proto import wandb_internal_pb2

    assert data.startswith(b":W&B")
    at, whole = FILE_HEAD, b""
    while at + RECORD_HEAD <= len(data):
        left = BLOCK - at % BLOCK
        if left < RECORD_HEAD:
            at += left
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + RECORD_HEAD])
        at += RECORD_HEAD + length
        whole += data[at - length : at]
        if kind in (1, 4):  # the whole record, or its last part
            yield wandb_internal_pb2.Record.FromString(whole)
            whole = b""
