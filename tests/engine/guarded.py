"""TensorRT stand-ins that have exactly the attributes of one version.

`api/VERSION.json` holds what NVIDIA's bindings of that version have; `Guarded` lets nothing else
through, so that code which passes here touches nothing that a version lacks.
"""

from __future__ import annotations

import enum
import json
from pathlib import Path
from types import ModuleType
from typing import Any

API = Path(__file__).with_name("api")
VERSIONS = ("8.5.3", "8.6.1", "10.3.0", "10.13.0.35", "11.0.0.114", "11.4.0.106")


def read_api(version: str) -> dict[str, Any]:
    """The attribute lists of a version."""
    api: dict[str, Any] = json.loads((API / f"{version}.json").read_text())
    assert api["version"] == version
    return api


class Guarded:
    """An object that is seen only through the attributes which `kind` has in a version."""

    def __init__(self, api: dict[str, Any], kind: str, inner: Any) -> None:
        entry = api["classes"][kind]
        object.__setattr__(self, "_kind", f"{kind} of {api['version']}")
        object.__setattr__(self, "_readable", {*entry["methods"], *entry["properties"]})
        object.__setattr__(self, "_writable", {*entry["properties"]} - {*entry["read_only"]})
        object.__setattr__(self, "_inner", inner)

    def __getattr__(self, name: str) -> Any:
        if name not in self._readable:
            raise AttributeError(f"{self._kind} has no {name}")
        return getattr(self._inner, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self._writable:
            raise AttributeError(f"{self._kind} has no {name} to set")
        setattr(self._inner, name, value)


class GuardedModule(ModuleType):
    """A `tensorrt` module with the names of a version; enumerations are there already.

    Set what a test needs as attributes; a name the version lacks is refused.
    """

    def __init__(self, version: str) -> None:
        super().__init__("tensorrt")
        api = read_api(version)
        vars(self).update(api=api, __version__=version)
        for name, members in api["enums"].items():
            numbers = {
                key: index if value is None else value
                for index, (key, value) in enumerate(members.items())
            }
            vars(self)[name] = enum.IntEnum(name, numbers) if numbers else None

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in vars(self)["api"]["names"]:
            raise AttributeError(f"tensorrt {self.__version__} has no {name}")
        super().__setattr__(name, value)

    def guard(self, kind: str, inner: Any) -> Guarded:
        """`inner` as this version's `kind`."""
        return Guarded(self.api, kind, inner)
