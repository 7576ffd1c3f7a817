"""The teaching labs go into the package that is built; all else is in pyproject.toml."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithLabs(build_py):
    """Copies labs/ into the package, where `vnemu.teaching.catalogue` looks for it."""

    def run(self):
        """Build as usual, and copy the labs."""
        super().run()
        if not self.editable_mode:  # then labs/ is beside the package
            target = Path(self.build_lib, "vnemu", "labs")
            shutil.copytree("labs", target, dirs_exist_ok=True)


setup(cmdclass={"build_py": BuildWithLabs})
