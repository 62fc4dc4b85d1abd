"""Make `rnnzoo` and `rnnzoo.generation` importable from this checkout, installed or not."""

import importlib.util
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def make_importable() -> None:
    """Map the folders of this checkout to the packages they are installed as."""
    sys.path.insert(0, str(ROOT))
    import rnnzoo

    folder = ROOT / "generation"
    spec = importlib.util.spec_from_file_location(
        "rnnzoo.generation", folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["rnnzoo.generation"] = module
    spec.loader.exec_module(module)
    rnnzoo.generation = module  # type: ignore[attr-defined]
