"""Fails, and says why, unless the file is a bill of materials as CycloneDX has it."""

import json
import sys

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

with open(sys.argv[1], encoding="utf-8") as file:
    text = file.read()
version = SchemaVersion.from_version(json.loads(text)["specVersion"])
if mistake := JsonStrictValidator(version).validate_str(text):
    sys.exit(str(mistake))
