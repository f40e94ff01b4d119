"""What no reader can see but a terminal, a parser or the direction of text obeys; every format replaces it."""

from __future__ import annotations

import re

#: Control characters, lone surrogates, bidirectional overrides and non-characters.
UNSEEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
