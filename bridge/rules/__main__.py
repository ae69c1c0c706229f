"""`python -m bridge.rules` writes the JSON schema of rule files to stdout."""

import sys

from bridge.rules.schema import json_schema

sys.stdout.write(json_schema())
