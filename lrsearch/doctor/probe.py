"""What torch sees of this machine, as one line of JSON; a process of its own: drivers may hang."""

import importlib.util
import json

import torch


def main() -> None:
    """Print the devices. Whatever torch raises ends the process with a traceback."""
    devices = []
    kind = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    for index in range(torch.accelerator.device_count() if kind is not None else 0):
        name, total, free = str(kind), None, None
        if kind is not None and kind.type == "cuda":
            name = torch.cuda.get_device_name(index)
            free, total = torch.cuda.mem_get_info(index)
        devices.append({"device": f"{kind}:{index}", "name": name, "total": total, "free": free})
    print(
        json.dumps(
            {
                "devices": devices,
                "threads": torch.get_num_threads(),
                "cuda_build": torch.version.cuda or torch.version.hip,
                "triton": importlib.util.find_spec("triton") is not None,
            }
        )
    )


if __name__ == "__main__":
    main()
