"""Carry out checks in the target's own interpreter, one at a time, as the supervisor asks for them.

``python -m npubench.testing.conformance.child ASKED ANSWERS PARENT`` reads an order and then names of checks from the
descriptor ASKED, a line each, and answers each by a line of JSON on the descriptor ANSWERS. Standard output and error
belong to the plug-in, whose SDK may print there at will. Needs numpy beside the plug-in.
"""

from __future__ import annotations

import dataclasses
import faulthandler
import json
import os
import signal
import sys
from collections.abc import Sequence

from npubench.contract.runspec import from_plain
from npubench.measure.process import die_with_parent
from npubench.testing.conformance.checks import CHECKS
from npubench.testing.conformance.order import Order
from npubench.testing.conformance.subject import Subject
from npubench.testing.conformance.verdict import look_at


def main(arguments: Sequence[str]) -> None:
    """Answer until there is nothing more asked."""
    asked, answers, parent = (int(argument) for argument in arguments)
    die_with_parent(parent)
    # Asked by the supervisor before it kills what hangs: standard error then says where every thread stood.
    faulthandler.register(signal.SIGUSR1)
    for descriptor in (asked, answers):
        os.set_inheritable(descriptor, False)
    known = {check.name: check for check in CHECKS}
    with open(asked, encoding="utf-8") as lines:  # noqa: PTH123 - a descriptor
        subject = Subject(from_plain(Order, json.loads(lines.readline()), "order"))
        for line in lines:
            result = look_at(known[line.strip()], subject)
            os.write(answers, json.dumps(dataclasses.asdict(result)).encode() + b"\n")
    sys.stdout.flush()
    sys.stderr.flush()
    # A runtime that hangs or crashes in its exit handlers has nothing left to spoil: everything is told.
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
