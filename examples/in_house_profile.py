"""A vendor that is one YAML file: acme_vendor/acme.yaml, for a server whose protocol nobody else speaks.

    python examples/in_house_profile.py

docs/add-your-vendor.md tells how the file came to be; acme_vendor/server.py is the server.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from offline import run, spoken, transcribe

from agents.providers.adapters import CustomWebSocketSTTAdapter

ACME = Path(__file__).parent / "acme_vendor"


async def main(server: str) -> None:
    """Acme's own server listens; the embedded one at *server* is not needed."""
    acme = await asyncio.create_subprocess_exec(
        sys.executable, ACME / "server.py", "--key", "s3cret", "--port", "0", stdout=asyncio.subprocess.PIPE
    )
    assert acme.stdout is not None
    url = (await acme.stdout.readline()).decode().split()[-1]  # "Acme Ears listens at ws://…/ears"
    try:
        # yours: your file, your server, and the key from "${env:ACME_API_KEY}"
        async with CustomWebSocketSTTAdapter(
            url, api_key="s3cret", vendor=ACME / "acme.yaml", options={"mask": ["sunday"]}
        ) as stt:
            heard = await transcribe(stt, spoken("what are your opening hours on sunday"))
            print(f"{stt.provider}: {' '.join(heard)}")
    finally:
        acme.terminate()
        await acme.wait()


if __name__ == "__main__":
    run(main)
