"""Stands in for furiosa.torch.config."""

import contextlib
import enum

_fallback = [True]


class TacticHintConfig(enum.Enum):
    Default = 0
    NoConstraint = 1
    ForVisionModel = 5


class CacheConfig:
    def __init__(self, root_dir=None, summary=False, ensure=False, failure_link_dir=None):
        self.root_dir = root_dir


current = CacheConfig("/nonexistent")


class CompilerConfig:
    def __init__(self, implicit_type_casting=None, implicit_type_casting_all_activation=None, tactic_hint=None):
        self.implicit_type_casting = implicit_type_casting
        assert isinstance(tactic_hint, TacticHintConfig)


def set_cpu_fallback(fallback):
    previous, _fallback[0] = _fallback[0], fallback
    return previous


@contextlib.contextmanager
def context(compiler_config=None, cache_dir=None, summary=False, ensure=False, profiler=None):
    global current
    previous, current = current, CacheConfig(cache_dir)
    try:
        yield
    finally:
        current = previous
