"""The JSON Schema of the profile language, for editors.

``python -m agents.providers.profiles.export`` writes it to ``profile.schema.json`` beside this file; a test fails
when that file is not current.
"""

from __future__ import annotations

from pathlib import Path

import orjson

from .schema import Profile

__all__ = ["SCHEMA_FILE", "schema_text"]

SCHEMA_FILE = Path(__file__).with_name("profile.schema.json")


def schema_text() -> str:
    """The schema as it is committed."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Profile.model_json_schema()}
    schema["title"] = "Voxport vendor profile"
    return orjson.dumps(schema, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS).decode() + "\n"


if __name__ == "__main__":
    SCHEMA_FILE.write_text(schema_text(), encoding="utf-8")
