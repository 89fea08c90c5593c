#!/bin/sh
# Set up serfeat for development: sh setup.sh VENV CONSTRAINTS   (called by the Makefile)
# Needs: Python 3.11 or newer with venv, git, make. Installs into VENV only.
set -eu
venv=$1
constraints=$2
python=${PYTHON:-python3}

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "setup: $("$python" --version 2>&1) found, Python 3.11 or newer expected;" \
         "set PYTHON to a newer interpreter (make demo PYTHON=python3.12)" >&2
    exit 2
fi
echo "Set-up (once): a virtual environment in $venv with the packages pinned in $constraints."
echo "  About 0.5 GB to download, 2 GB on disk, 2 to 5 minutes. openSMILE (research licence) and"
echo "  Praat (GPL) are among them as optional parts; see README, \"Licences\"."

"$python" -m venv "$venv"
pip="$venv/bin/python -m pip --disable-pip-version-check --quiet --quiet"

# torch's CPU build, where there is no NVIDIA GPU, is much smaller than the default one. pip finds it
# if an index or a folder that holds it is configured (PIP_EXTRA_INDEX_URL, PIP_FIND_LINKS; PyTorch's
# "Get started" page names its CPU index). Otherwise the default build is installed, and runs too.
torch=$(sed -n 's/^torch==//p' "$constraints")
if ! command -v nvidia-smi >/dev/null 2>&1; then
    if ! $pip install --constraint "$constraints" "torch==$torch+cpu" 2>/dev/null; then
        echo "  No CPU build of torch $torch is configured for pip: taking the default build, which on"
        echo "  Linux brings several GB of CUDA libraries. See README, \"Two commands\"."
    fi
fi
$pip install --constraint "$constraints" --editable '.[all,dev]'
echo "Set-up is done: $("$venv/bin/serfeat" --version)."
