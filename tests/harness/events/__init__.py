"""Events as the CI hosts send them."""

from pathlib import Path

GITHUB = Path(__file__).with_name("github")
