"""A mapping of the configuration with fixed keys: what every class of study/shape.py is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from pydantic import ConfigDict, model_validator

from kvsweep.study.complaints import Complaint, named, nearest

CHECKED = ConfigDict(extra="forbid", defer_build=True)


class Section:
    """A mapping with fixed keys."""

    @model_validator(mode="before")
    @classmethod
    def _has_known_keys(cls, value: Any) -> Any:
        valid = [field.name for field in fields(cls)]  # type: ignore[arg-type]
        for key in value if isinstance(value, Mapping) else ():
            if key not in valid:
                raise Complaint(f"unknown key; {nearest(str(key), valid)}", named(key))
        return value

    def only_one_of(self, *keys: str) -> None:
        found = [key for key in keys if getattr(self, key) is not None]
        if len(found) != 1:
            raise Complaint(f"give exactly one of {', '.join(keys)}; found {' and '.join(found) or 'none'}")
