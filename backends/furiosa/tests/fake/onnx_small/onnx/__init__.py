"""Stands in for the few names of onnx that the plug-in calls, where the environment has none: a file's bytes stay as they are."""

from pathlib import Path
from types import SimpleNamespace


class ModelProto:
    def __init__(self, content):
        self._content = content
        self.graph = SimpleNamespace(input=[], output=[])

    def SerializeToString(self):  # noqa: N802 - as protobuf has it
        return self._content


def load(path):
    return ModelProto(Path(path).read_bytes())
