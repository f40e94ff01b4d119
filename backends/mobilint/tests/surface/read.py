"""Print the names and signatures of the vendor's packages that matter here, as JSON; run by the interpreter that has them.

``python read.py qbruntime|mbltml``. A parameter with a default ends in ``=``.
"""

import enum
import importlib
import inspect
import json
import sys


def signature(function):
    return ", ".join(p.name + ("" if p.default is p.empty else "=") for p in inspect.signature(function).parameters.values())


def members(name, value):
    """Yield what one name of a module offers."""
    if inspect.isclass(value) and issubclass(value, enum.Enum):
        yield name, "enum: " + ", ".join(sorted(value.__members__))
    elif inspect.isclass(value) and issubclass(value, BaseException):
        yield name, "error: " + ", ".join(base.__name__ for base in value.__mro__[1:-1])
    elif inspect.isclass(value):
        for attribute, inner in vars(value).items():
            if isinstance(inner, property):
                yield f"{name}.{attribute}", "property"
            elif inspect.isfunction(inner) and (attribute == "__init__" or not attribute.startswith("_")):
                yield f"{name}.{attribute}", signature(inner)
    elif inspect.isfunction(value):
        yield name, signature(value)
    elif isinstance(value, int):
        yield name, value


def wanted(package, name):
    if package == "qbruntime":
        classes = {"Accelerator", "Cluster", "Core", "CoreId", "CoreMode", "DataType", "Future", "Model", "ModelConfig", "Scale"}
        return name in classes | {"QbRuntimeError", "get_available_devices", "get_available_device_numbers"}
    known = ("mbltmlGet", "mbltmlInit", "mbltmlShutdown", "MBLTML_DEVICE_", "MBLTML_TARGET_", "MBLTML_DRIVER_")
    return name.startswith(known) or (name.startswith("MBLTML") and name.endswith("Error"))


if __name__ == "__main__":
    package = sys.argv[1]
    module = importlib.import_module(package)
    found = {}
    for name in sorted(vars(module)):
        if wanted(package, name):
            found.update(members(name, getattr(module, name)))
    json.dump(found, sys.stdout, indent=1, sort_keys=True)
    print()  # noqa: T201 - it is what this program is for
