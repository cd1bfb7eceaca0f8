"""The environment that an engine runs in: the user's own, without knobs that nobody wrote down."""

from __future__ import annotations

from collections.abc import Mapping

from kvsweep.machine.cluster_job import is_job

_KNOB_PREFIXES = ("LLAMA_", "TURBO_", "GGML_", "OMP_")
# Which devices a process may use, of NVIDIA, AMD and Intel, by number; a cluster sets them in its jobs.
_DEVICE_LISTS = (
    *("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL"),
    "ZE_AFFINITY_MASK",
)
_DEVICES = (*_DEVICE_LISTS, "ONEAPI_DEVICE_SELECTOR")


def is_knob(name: str) -> bool:
    """Whether a variable can change what an engine measures."""
    return name.startswith(_KNOB_PREFIXES) or name in _DEVICES


def knobs_in(shell: Mapping[str, str]) -> tuple[str, ...]:
    """The knobs set in the user's shell. On a cluster the choice of a device is the cluster's, not the user's."""
    return tuple(sorted(name for name in shell if is_knob(name) and not (name in _DEVICES and is_job(shell))))


def engine_environment(
    shell: Mapping[str, str], configured: Mapping[str, str], devices: int | None = None
) -> dict[str, str]:
    """The variables that an engine gets: those of the shell that are no knobs, and those of the configuration.

    ``devices`` is how many devices the job asked the cluster for: a job that has its node to itself sees all of the
    node's, and an engine would use them all. None leaves what the cluster gives.
    """
    left_out = set(knobs_in(shell))
    kept = {name: value for name, value in shell.items() if name not in left_out}
    if devices is not None:
        kept |= {name: ",".join(kept[name].split(",")[:devices]) for name in _DEVICE_LISTS if name in kept}
    return {**kept, **configured}


def devices_of(gres: str | None) -> int | None:
    """How many devices Slurm's ``gpu:1``, ``gpu:a100:2`` or ``gpu`` asks for; None where it asks for none."""
    counts = []
    for asked in (gres or "").split(","):
        name, *rest = asked.partition("(")[0].split(":")
        if name.removeprefix("gres/") == "gpu":
            counts.append(int(rest[-1]) if rest and rest[-1].isdigit() else 1)
    return sum(counts) or None
