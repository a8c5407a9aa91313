"""What is here: the machine, the GPU, and the versions of what is installed."""

import os
from contextlib import suppress
from importlib import metadata

import torch

from gpu.day import Day
from optlab.errors import UserError
from optlab.machine import hardware

PACKAGES = ("torchvision", "numpy", "pytest", "scikit-learn", "psutil", "triton")


def measure(day: Day) -> None:
    if day.device == "cuda" and not torch.cuda.is_available():
        raise UserError("PyTorch sees no GPU here; DEVICE=cpu rehearses on the CPU")
    found = hardware.hardware(day.device)
    found.pop("gpu_peak_memory_mb", None)
    versions: dict[str, object] = dict(hardware.versions())
    if day.device == "cuda":
        about = torch.cuda.get_device_properties(0)
        found["gpu_memory_mb"] = round(about.total_memory / 2**20)
        found["gpu_processors"] = about.multi_processor_count
        found["gpu_capability"] = f"{about.major}.{about.minor}"
        versions["cuda"] = torch.version.cuda
        versions["cudnn"] = torch.backends.cudnn.version()
    for name in PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    day.note("machine", {**found, "threads": torch.get_num_threads(), "load": os.getloadavg()[0]})
    day.note("versions", versions)
