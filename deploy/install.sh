#!/bin/sh
# Install, upgrade or remove EdgeFuse as a service; see docs/how-to/service.md. Run it again to upgrade.
set -eu

usage() {
    cat <<'EOF'
usage: sudo ./install.sh [--wheels DIR] [--from WHAT] [--extras NAMES] [--no-start]
       sudo ./install.sh --uninstall [--purge]

EdgeFuse into /opt/edgefuse, its settings into /etc/edgefuse, and a systemd service that starts at boot.

  --wheels DIR      offline: take EdgeFuse and all it needs from a folder of wheels (on a machine with a network:
                    pip download -d DIR "edgefuse[service]", with the same Python and processor)
  --from WHAT       what pip is to install: a version (edgefuse==0.1.0), a wheel, or a checkout's folder; the checkout that this
                    script lies in, else PyPI's newest
  --extras NAMES    optional parts (default: service; also litert)
  --no-start        enable the service, but leave starting it to the next boot
  --uninstall       stop and remove the service and the program; settings and recordings stay
  --purge           with --uninstall: remove settings, recordings and the user, too

Exit codes: 0; 1 where it failed, and then what ran before still does; 2 for a wrong option.
EOF
}

fail() {
    echo "install.sh: $1" >&2
    exit "${2:-1}"
}

wheels='' from='' extras=service start=yes remove='' purge=''
while [ $# -gt 0 ]; do
    case $1 in
    --wheels | --from | --extras)
        [ $# -gt 1 ] || fail "$1 needs a value; see --help" 2
        case $1 in --wheels) wheels=$2 ;; --from) from=$2 ;; --extras) extras=$2 ;; esac
        shift
        ;;
    --no-start) start='' ;;
    --uninstall) remove=yes ;;
    --purge) purge=yes ;;
    -h | --help)
        usage
        exit 0
        ;;
    *) fail "unknown option $1; see --help" 2 ;;
    esac
    shift
done
[ -z "$purge" ] || [ -n "$remove" ] || fail "--purge goes with --uninstall" 2
[ -z "$wheels" ] || [ -d "$wheels" ] || fail "--wheels $wheels: there is no such folder" 2
[ "$(id -u)" = 0 ] || fail "needs root; run it again with sudo" 2

LINK=/opt/edgefuse VERSIONS=/opt/edgefuse.d UNIT=/etc/systemd/system/edgefuse.service RULES=/etc/udev/rules.d/70-edgefuse.rules
USERS=/etc/sysusers.d/edgefuse.conf SETTINGS=/etc/edgefuse
# while an image is being built, systemd does not run
running() { [ -d /run/systemd/system ]; }

lock=/run/lock
[ -d "$lock" ] || lock=/tmp
exec 9>"$lock/edgefuse-install.lock"
flock -n 9 || fail "another install.sh is at work; wait for it"

uninstall() {
    if running; then systemctl disable --now edgefuse.service 2>/dev/null || true; else systemctl disable edgefuse.service 2>/dev/null || true; fi
    rm -rf "$UNIT" "$UNIT.d" "$RULES" "$VERSIONS" "$LINK" "$USERS"
    if [ "$(readlink /usr/local/bin/edgefuse)" = "$LINK/bin/edgefuse" ]; then rm /usr/local/bin/edgefuse; fi
    if running; then
        systemctl daemon-reload
        udevadm control --reload 2>/dev/null || true
    fi
    if [ -n "$purge" ]; then
        rm -rf "$SETTINGS" /var/lib/edgefuse
        userdel edgefuse 2>/dev/null || true
        echo "EdgeFuse, its settings and its recordings are removed"
    else
        echo "EdgeFuse is removed; $SETTINGS and /var/lib/edgefuse are kept (--uninstall --purge removes them)"
    fi
}

if [ -n "$remove" ]; then
    uninstall
    exit 0
fi

python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || fail "needs Python 3.11 or later as python3 (Raspberry Pi OS 12 has it)"
python3 -c 'import ensurepip' 2>/dev/null || fail "needs Python's venv: sudo apt-get install python3-venv"

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
if [ -z "$from" ]; then
    if [ -z "$wheels" ] && [ -e "$here/../pyproject.toml" ]; then from=$(dirname "$here"); else from=edgefuse; fi
fi
case $from in
*.whl | /* | ./* | ../*)
    [ -e "$from" ] || fail "--from $from: there is no such file or folder" 2
    what="$(CDPATH='' cd -- "$(dirname -- "$from")" && pwd)/$(basename -- "$from")[$extras]"
    ;;
edgefuse) what="edgefuse[$extras]" ;;
edgefuse[=\<\>~!]*) what="edgefuse[$extras]${from#edgefuse}" ;;
*) fail "--from $from: expected edgefuse==VERSION, a wheel, or a folder (./NAME)" 2 ;;
esac

# install to a new environment beside the old one, so that a failed or interrupted upgrade changes nothing
new="$VERSIONS/$(date +%Y%m%d-%H%M%S)-$$"
old=$(readlink -f "$LINK" 2>/dev/null || true)
made=''
trap '[ -n "$made" ] || rm -rf "$new"' EXIT
trap 'exit 1' HUP INT TERM
mkdir -p "$VERSIONS"
echo "making $new"
# to find apt's picamera2 and its NumPy
python3 -m venv --system-site-packages "$new"
pip="$new/bin/python -m pip install --quiet --disable-pip-version-check --root-user-action=ignore"
if [ -n "$wheels" ]; then pip="$pip --no-index --find-links $(CDPATH='' cd -- "$wheels" && pwd)"; fi
PIP_NO_INPUT=1 $pip "$what" || fail "pip could not install $what; nothing was changed"
"$new/bin/edgefuse" models verify >"$new/verify.log" 2>&1 || fail "the new version does not pass its own test here; nothing was changed: $(tail -n 1 "$new/verify.log")"

files=$("$new/bin/python" -c 'import importlib.resources as r; print(r.files("edgefuse") / "deploy")')
[ -e "$files/edgefuse.service" ] || files=$here
[ -e "$files/edgefuse.service" ] || fail "neither the package nor $here holds edgefuse.service; nothing was changed"
if [ -e "$SETTINGS/edgefuse.toml" ]; then
    "$new/bin/edgefuse" config check "$SETTINGS/edgefuse.toml" >/dev/null || fail "the new version refuses $SETTINGS/edgefuse.toml, as above; nothing was changed"
fi

install -Dm644 "$files/edgefuse.sysusers" "$USERS"
systemd-sysusers "$USERS" 2>/dev/null || id edgefuse >/dev/null 2>&1 || fail "could not make the user edgefuse"
install -d -m 750 -o root -g edgefuse "$SETTINGS"
install -m 644 "$files/edgefuse.toml" "$SETTINGS/edgefuse.toml.example"
# never overwrite the user's settings
[ -e "$SETTINGS/edgefuse.toml" ] || install -m 640 -o root -g edgefuse "$files/edgefuse.toml" "$SETTINGS/edgefuse.toml"
install -Dm644 "$files/70-edgefuse.rules" "$RULES"
if running && udevadm control --reload 2>/dev/null; then udevadm trigger --subsystem-match=usb --subsystem-match=video4linux || true; fi
[ ! -e "$UNIT" ] || cp "$UNIT" "$new/service.before"
install -Dm644 "$files/edgefuse.service" "$UNIT"

point_to() {
    # an environment that was made manually
    if [ -d "$LINK" ] && [ ! -L "$LINK" ]; then mv "$LINK" "$VERSIONS/by-hand" && old="$VERSIONS/by-hand"; fi
    ln -sfn "$1" "$LINK.new" && mv -T "$LINK.new" "$LINK"
}
point_to "$new"
made=yes
[ -e /usr/local/bin/edgefuse ] || ln -sfn "$LINK/bin/edgefuse" /usr/local/bin/edgefuse
systemctl --quiet enable edgefuse.service

if running && [ -n "$start" ]; then
    systemctl daemon-reload
    # returns after READY, with the first frame written
    if ! systemctl restart edgefuse.service; then
        journalctl -u edgefuse.service -n 5 -o cat --no-pager >&2 || true
        if [ -n "$old" ] && [ "$old" != "$new" ] && [ -d "$old" ]; then
            point_to "$old"
            [ ! -e "$new/service.before" ] || install -m 644 "$new/service.before" "$UNIT"
            systemctl daemon-reload
            systemctl restart edgefuse.service || true
            made=''
            fail "the new version did not get a frame through; the old one is back"
        fi
        fail "it is installed, but gets no frame through; the lines above say why: edit $SETTINGS/edgefuse.toml, then sudo systemctl restart edgefuse"
    fi
fi
for version in "$VERSIONS"/*; do [ "$version" = "$new" ] || rm -rf "$version"; done
echo "$("$LINK/bin/edgefuse" --version | head -n 1) is installed; settings: $SETTINGS/edgefuse.toml; log: journalctl -u edgefuse"
