#!/bin/sh
# Set up serfeat: sh setup.sh VENV CONSTRAINTS EXTRAS   (called by the Makefile)
# EXTRAS are those of pyproject.toml: boost,lab / boost,deep,lab / all,dev.
# Needs: Python 3.11 or newer with venv, git, make. Installs into VENV only.
set -eu
venv=$1
constraints=$2
extras=${3:-all,dev}
python=${PYTHON:-python3}

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "setup: $("$python" --version 2>&1) found, Python 3.11 or newer expected;" \
         "set PYTHON to a newer interpreter (make demo PYTHON=python3.12)" >&2
    exit 2
fi
echo "Set-up (once): a virtual environment in $venv with the packages pinned in $constraints."
case $extras in
    *all*)
        echo "  All parts and the tests' tools: about 0.9 GB to download, 2.5 GB on disk."
        echo "  openSMILE (research licence) and Praat (GPL) are among them; see README, \"Licences\"."
        torch=yes ;;
    *deep*)
        echo "  With PyTorch for the networks: about 0.4 GB to download, 1.7 GB on disk."
        torch=yes ;;
    *)
        echo "  Without networks: about 0.2 GB to download, 0.9 GB on disk."
        torch=no ;;
esac

if ! [ -x "$venv/bin/python" ] && ! "$python" -m venv "$venv"; then
    rm -rf "$venv"
    echo "setup: $python cannot make a virtual environment;" \
         "on Debian and Ubuntu: apt install python3-venv" >&2
    exit 2
fi

# Files are compiled when they are first imported: most never are. Where Python is told to keep nothing
# then, each start would compile them again, seconds of it: they are compiled now. Large downloads are
# named, so that a slow line does not look like a standstill; of a failure, pip's last lines are shown.
compile=--no-compile
if [ -n "${PYTHONDONTWRITEBYTECODE:-}" ]; then
    compile=--compile
fi
install() {
    log="$venv/setup.log"
    {
        "$venv/bin/python" -m pip --disable-pip-version-check install $compile \
            --progress-bar off --constraint "$constraints" "$@" 2>&1 || echo "FAILED"
    } | tee "$log" | while IFS= read -r line; do
        case $line in
            *Downloading*"("[1-9][0-9]*" MB)")
                line=${line#*Downloading }
                echo "  downloading ${line##*/}" ;;
            "Installing collected"*)
                echo "  installing" ;;
        esac
    done
    ! [ "$(tail -n 1 "$log")" = FAILED ]
}

# torch's CPU build, where there is no NVIDIA GPU, is much smaller than the default one. pip finds it
# if an index or a folder that holds it is configured (PIP_EXTRA_INDEX_URL, PIP_FIND_LINKS; PyTorch's
# "Get started" page names its CPU index). Otherwise the default build is installed, and runs too.
if [ $torch = yes ] && ! command -v nvidia-smi >/dev/null 2>&1; then
    version=$(sed -n 's/^torch==//p' "$constraints")
    if ! install "torch==$version+cpu"; then
        echo "  No CPU build of torch $version is configured for pip: taking the default build, which on"
        echo "  Linux brings several GB of CUDA libraries. See README, \"If the download is large\"."
    fi
fi
if ! install --editable ".[$extras]"; then
    grep -v "^FAILED$" "$log" | tail -n 12 >&2
    echo "setup: pip failed (above; all of it is in $log). Without a connection set PIP_FIND_LINKS to" \
         "a folder of wheels; then run the same command again, it goes on where it stopped" >&2
    exit 1
fi
if [ $compile = --compile ]; then
    "$venv/bin/python" -m compileall -q serfeat || true
fi
# The kernels are compiled once; otherwise the first of the commands would wait without saying why.
echo "  compiling what counts (once, about half a minute)"
first=$venv/first
mkdir -p "$first"
"$venv/bin/python" -c 'import sys, soundfile; from serfeat.demo import utterance
spoken = utterance("s1", "anger", "t1"); soundfile.write(sys.argv[1], spoken.x, spoken.sr)' \
    "$first/voice.wav" &&
    SERFEAT_CACHE="$first/cache" "$venv/bin/serfeat" extract "$first/voice.wav" --quiet --jobs 1 \
        -o "$first/features.csv" >/dev/null ||
    echo "  not now: the first command will do it" >&2
rm -rf "$first"
echo "Set-up is done: $("$venv/bin/serfeat" --version)."
