"""The manual: ``sphinx-build -W --keep-going docs build/docs``."""

import runpy
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "connectly_tracking"

project = html_title = "django-connectly-tracking"
release = runpy.run_path(str(PACKAGE / "__init__.py"))["__version__"]
extensions = ["myst_parser"]
myst_heading_anchors = 3  # each heading can be linked to, as in the repository
nitpicky = True
html_theme = "furo"
