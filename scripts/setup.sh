# Sourced by the other scripts: makes .venv with EdgeFuse and the extras named in $1 (such as "" or "dev,litert"), once.
# Nothing is installed again while pyproject.toml and the C sources stay as they are.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
# what tools and benchmarks import themselves sends nothing either (edgefuse/runtimes/onnx.py)
export ORT_DISABLE_TELEMETRY=1

setup() {
    local extras=$1 venv=.venv python stamp
    stamp="$venv/.installed-${extras//,/-}-$(cat pyproject.toml hatch_build.py $(find edgefuse -name '*.[ch]' | sort) | cksum | cut -d' ' -f1)"
    if [ ! -e "$stamp" ]; then
        for python in python3.11 python3.12 python3.13 python3; do
            "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && break
            python=
        done
        if [ -z "$python" ]; then
            echo "EdgeFuse needs Python 3.11 to 3.13; install one, such as: sudo apt install python3 python3-venv" >&2
            exit 2
        fi
        if [ ! -x "$venv/bin/pip" ]; then
            echo "making $venv with $($python --version)"
            "$python" -m venv "$venv" || {
                echo "python has no venv module; run: sudo apt install python3-venv" >&2
                exit 2
            }
        fi
        echo "installing EdgeFuse${extras:+ with $extras}"
        # what is never imported need not be compiled, a quarter of the time
        "$venv/bin/pip" install --quiet --disable-pip-version-check --no-compile -e ".${extras:+[$extras]}"
        touch "$stamp"
    fi
    PATH="$root/$venv/bin:$PATH"
}
