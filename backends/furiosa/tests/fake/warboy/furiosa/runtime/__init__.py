"""Stands in for furiosa-runtime 0.10. With FAKE_HAL=missing its import dies as the real one was seen to do without the driver."""

import os

if os.environ.get("FAKE_HAL") == "missing":
    raise RuntimeError('Error: "libfuriosa_hal.so: cannot open shared object file: No such file or directory"')
if os.environ.get("FAKE_HAL") == "broken":
    raise OSError("libpython: undefined symbol: _Py_Nothing")

__version__ = "0.10.2"
