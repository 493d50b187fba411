"""What this machine and environment bring, what is missing or slow, and the remedy."""

from __future__ import annotations

import os
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from initlab import files, folders

#: Packages whose versions are told.
PACKAGES = (
    "initlab",
    "torch",
    "numpy",
    "pandas",
    "pyarrow",
    "scipy",
    "scikit-learn",
)
#: Packages that are not needed by everyone: what for, and how they come.
EXTRAS = {
    "torchvision": ("reading real data sets", files.torchvision_remedy()),
    "papermill": ("running notebooks", "pip install 'initlab[book]'"),
    "jupyter-book": ("building the site", "pip install 'initlab[book]'"),
    "ray": ("engine 'ray'", "pip install 'initlab[ray]'"),
    "jax": ("benchmarks beside JAX", "pip install jax"),
}
GB = 1e9
#: What the laptop preset of a chapter takes on two cores, at most, if nothing is recorded.
ANEW = "two and a half hours"


def examine() -> dict[str, Any]:
    """Everything that is found, as JSON types; nothing is changed or downloaded.

    Keys: `versions`, `devices`, `cores`, `threads`, `memory_gb`, `compiler`, `compiled`,
    `extras`, `data`, `data_folder`, `store`.
    """
    import torch

    from initlab.train import native

    packages = {name: _version(name) for name in PACKAGES}
    return {
        "versions": {"python": platform.python_version(), **packages},
        "devices": _devices(),
        "cores": _cores(),
        "threads": torch.get_num_threads(),
        "memory_gb": _memory(),
        "compiler": native.compiler(),
        "compiled": native.available(),
        "extras": {name: _version(name) for name in EXTRAS},
        "data": {name: files.look(name).state for name in files.ABOUT},
        "data_folder": str(files.root()),
        "store": _store(),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _devices() -> list[dict[str, Any]]:
    import torch

    found: list[dict[str, Any]] = [{"device": "cpu", "name": platform.processor() or "CPU"}]
    if torch.cuda.is_available():
        for i in range(torch.cuda.device_count()):
            card = torch.cuda.get_device_properties(i)
            memory = round(card.total_memory / GB, 1)
            found.append({"device": f"cuda:{i}", "name": card.name, "memory_gb": memory})
    if torch.backends.mps.is_available():
        found.append({"device": "mps", "name": "Apple GPU"})
    return found


def _cores() -> int:
    """Cores that this process may use, where the system tells."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GB, 1)
    except (AttributeError, OSError, ValueError):  # not told on this system
        return None


def _store() -> dict[str, Any]:
    from initlab.store import Store

    store = Store()
    parts = store.parts()
    above = next(p for p in (store.folder, *store.folder.absolute().parents) if p.exists())
    return {
        "folder": str(store.folder),
        "files": len(parts),
        "megabytes": round(sum(p.stat().st_size for p in parts) / 1e6, 2),
        "writable": above.is_dir() and os.access(above, os.W_OK),
        "temporary": folders.is_temporary(store.folder),
    }


def advice(found: dict[str, Any]) -> list[str]:
    """One line for each thing that is slow or missing, with its remedy.

    `found` is what `examine` gives.
    """
    lines = []
    if len(found["devices"]) == 1:
        gpu = "" if shutil.which("nvidia-smi") is None else _CPU_TORCH
        lines.append(f"no GPU can be used: the paper preset takes days; keep to laptop{gpu}")
    if found["cores"] < 4:
        lines.append(
            f"{found['cores']} cores: a chapter computed anew takes up to {ANEW}; keep to "
            "recorded results, or use more cores or a cluster (batch --engine ray)"
        )
    if found["memory_gb"] is not None and found["memory_gb"] < 4:
        lines.append(
            f"{found['memory_gb']} GB of memory: CIFAR-10 takes 0.7 GB in every process; use few "
            "workers"
        )
    if not found["compiled"]:
        remedy = "install gcc or clang, or name a C compiler in CC"
        if os.environ.get("INITLAB_COMPILE") == "0":
            remedy = "INITLAB_COMPILE is 0"
        elif found["compiler"] is not None:
            remedy = f"{found['compiler']} cannot compile them; name another in CC"
        lines.append(
            "no compiled steps: small fully connected networks train in PyTorch alone, which is "
            f"slower; {remedy}"
        )
    for name, state in found["data"].items():
        if name in files.BY_HAND:
            if state == files.PARTIAL:
                lines.append(f"{name} is {state}: {files.unpacked(name)}")
        elif state in (files.MISSING, files.PARTIAL):
            lines.append(f"{name} is {state}: python -m initlab data fetch {name}")
        elif state == files.DAMAGED:
            lines.append(f"{name} is damaged: python -m initlab data check {name}")
    if not found["store"]["writable"]:
        lines.append(
            f"the store {found['store']['folder']} cannot be written: results would be lost; "
            "choose another folder with INITLAB_STORE"
        )
    if found["store"]["temporary"]:
        lines.append(
            f"this user has no home: results lie among the temporary files, in "
            f"{found['store']['folder']}; choose a folder that stays with INITLAB_STORE"
        )
    if found["store"]["files"] > 1000:
        lines.append(
            f"the store has {found['store']['files']} files, which makes it slow: "
            "python -m initlab store compact"
        )
    for name, (purpose, remedy) in EXTRAS.items():
        if found["extras"][name] is None:
            lines.append(f"{name} is not installed, which {purpose} needs: {remedy}")
    return lines


_CPU_TORCH = "; an NVIDIA driver is here, so a torch built for CUDA may find one"


def text(found: dict[str, Any]) -> str:
    """What was found, for a terminal, and the advice."""
    store = found["store"]
    devices = [
        f"{d['device']} ({d['name']}" + (f", {d['memory_gb']} GB)" if "memory_gb" in d else ")")
        for d in found["devices"]
    ]
    memory = "unknown" if found["memory_gb"] is None else f"{found['memory_gb']} GB"
    facts = {
        "versions": _listed(found["versions"]),
        "devices": ", ".join(devices),
        "cores": f"{found['cores']}, of which one torch operation uses {found['threads']}",
        "memory": memory,
        "compiler": f"{found['compiler'] or 'none'}"
        + ("" if found["compiled"] else ", no compiled steps"),
        "extras": _listed(found["extras"]),
        "data": f"{_listed(found['data'])}; in {found['data_folder']}",
        "store": f"{store['files']} files, {store['megabytes']} MB, in {store['folder']}",
    }
    lines = [f"{name:10}{fact}" for name, fact in facts.items()]
    told = advice(found)
    return "\n".join([*lines, "", *(f"- {line}" for line in told)]) if told else "\n".join(lines)


def _listed(named: dict[str, str | None]) -> str:
    return ", ".join(f"{name} {value or 'no'}" for name, value in named.items())
