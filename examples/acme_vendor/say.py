"""Write a recording to try speech servers with: ``python examples/acme_vendor/say.py speech.wav``."""

from __future__ import annotations

import sys
import wave

from agents.providers.local.caller import CALLER_LINES, speak_line
from agents.providers.local.synthesiser import SAMPLE_RATE

with wave.open(sys.argv[1], "wb") as file:
    file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", "not compressed"))
    file.writeframes(speak_line(CALLER_LINES[0]))
print(f"{sys.argv[1]} says: {CALLER_LINES[0]}")
