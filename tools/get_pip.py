"""Stands in for the pip bootstrap script that ansible-test would download: pip comes with Python, the pin from PyPI."""

import subprocess
import sys

# In a process of its own: ensurepip sets PIP_CONFIG_FILE to nothing, which would hide pip's settings below.
subprocess.run([sys.executable, "-m", "ensurepip", "--default-pip"], check=True, stdout=subprocess.DEVNULL)
requirements = [argument for argument in sys.argv[1:] if argument not in ("--no-setuptools", "--no-wheel")]
sys.exit(subprocess.call([sys.executable, "-m", "pip", "install", "--quiet", *requirements]))
