"""The rules of the branch, by the numbers that refusals name. Section 2 of the contract, told to who meets one."""

from importlib import resources

import msgspec

RULES: dict[str, str] = msgspec.json.decode(
    (resources.files("contracts") / "rules.json").read_bytes(), type=dict[str, str]
)
"""The text of each rule."""
