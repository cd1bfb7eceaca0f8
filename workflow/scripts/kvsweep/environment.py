"""The environment that an engine runs in: the user's own, without knobs that nobody wrote down."""

from __future__ import annotations

from collections.abc import Mapping

from kvsweep.cluster_job import is_job

_KNOB_PREFIXES = ("LLAMA_", "TURBO_", "GGML_", "OMP_")
_DEVICES = "CUDA_VISIBLE_DEVICES"


def is_knob(name: str) -> bool:
    """Whether a variable can change what an engine measures."""
    return name.startswith(_KNOB_PREFIXES) or name == _DEVICES


def knobs_in(shell: Mapping[str, str]) -> tuple[str, ...]:
    """The knobs set in the user's shell. On a cluster the choice of a device is the cluster's, not the user's."""
    return tuple(sorted(name for name in shell if is_knob(name) and not (name == _DEVICES and is_job(shell))))


def engine_environment(shell: Mapping[str, str], configured: Mapping[str, str]) -> dict[str, str]:
    """The shell's environment without its knobs, with the configuration's."""
    left_out = set(knobs_in(shell))
    return {**{name: value for name, value in shell.items() if name not in left_out}, **configured}
