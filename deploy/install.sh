#!/bin/sh
# Install, upgrade, roll back or remove EdgeFuse as a service; see docs/how-to/service.md. Run it again to upgrade.
set -eu
umask 022
# no module of the caller's folder or path is run as root
unset PYTHONPATH PYTHONHOME PIP_TARGET PIP_PREFIX
export PYTHONSAFEPATH=1

usage() {
    cat <<'EOF'
usage: sudo ./install.sh [--wheels DIR] [--from WHAT] [--sums FILE] [--key FILE] [--extras NAMES] [--no-start]
                         [--allow-unsigned] [--allow-downgrade] [--allow-unlocked]
       sudo ./install.sh --rollback
       sudo ./install.sh --uninstall [--purge]

EdgeFuse into /opt/edgefuse, its settings into /etc/edgefuse, and a systemd service that starts at boot.

  --wheels DIR       offline: take EdgeFuse and all it needs from a folder of wheels (docs/how-to/service.md says how to fill it)
  --from WHAT        what to install: a version (edgefuse==0.1.0), a wheel, or a checkout's folder; the checkout that this script
                     lies in, else PyPI's newest
  --sums FILE        the release's list of sha256 sums; its signature is FILE.minisig (default: SHA256SUMS beside the wheel)
  --key FILE         minisign's public key of the releases (default: that of the first installation, else release.pub beside this script)
  --extras NAMES     optional parts (default: service; also litert)
  --no-start         enable the service, but leave starting it to the next boot
  --allow-unsigned   install what no signed list names
  --allow-downgrade  install an older version than the installed one
  --allow-unlocked   let pip choose the other packages' versions, and do not check their hashes
  --rollback         go back to the version that was installed before
  --uninstall        stop and remove the service and the program; settings and recordings stay
  --purge            with --uninstall: remove settings, recordings and the user, too

Exit codes: 0; 1 where it failed, and then what ran before still does; 2 for a wrong option.
EOF
}

fail() {
    echo "install.sh: $1" >&2
    exit "${2:-1}"
}

wheels='' from='' sums='' key='' extras=service start=yes unsigned='' downgrade='' unlocked='' back='' remove='' purge=''
while [ $# -gt 0 ]; do
    case $1 in
    --wheels | --from | --sums | --key | --extras)
        [ $# -gt 1 ] || fail "$1 needs a value; see --help" 2
        case $1 in --wheels) wheels=$2 ;; --from) from=$2 ;; --sums) sums=$2 ;; --key) key=$2 ;; --extras) extras=$2 ;; esac
        shift
        ;;
    --no-start) start='' ;;
    --allow-unsigned) unsigned=yes ;;
    --allow-downgrade) downgrade=yes ;;
    --allow-unlocked) unlocked=yes ;;
    --rollback) back=yes ;;
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
for file in "$sums" "$key"; do [ -z "$file" ] || [ -f "$file" ] || fail "$file: there is no such file" 2; done
[ "$(id -u)" = 0 ] || fail "needs root; run it again with sudo" 2

LINK=/opt/edgefuse VERSIONS=/opt/edgefuse.d UNIT=/etc/systemd/system/edgefuse.service RULES=/etc/udev/rules.d/70-edgefuse.rules
USERS=/etc/sysusers.d/edgefuse.conf SETTINGS=/etc/edgefuse
# while an image is being built, systemd does not run
running() { [ -d /run/systemd/system ]; }

# the environment in use, and the one before it
current() { readlink -e "$LINK" || true; }
previous() { readlink -e "$VERSIONS/previous" || true; }
keep_for_rollback() { ln -sfn "$1" "$VERSIONS/previous.new" && mv -T "$VERSIONS/previous.new" "$VERSIONS/previous"; }
# use an environment with the unit that belongs to it; each is replaced in one step
switch_to() {
    if [ -e "$1/edgefuse.service" ]; then install -m 644 "$1/edgefuse.service" "$UNIT.new" && mv "$UNIT.new" "$UNIT"; fi
    ln -sfn "$1" "$LINK.new" && mv -T "$LINK.new" "$LINK"
}
# start the service anew; fails where it is not READY, which follows the first frame written, within two minutes
restarted() {
    systemctl daemon-reload
    # no waiting for failed starts of another version
    rm -f /run/edgefuse/starts
    timeout 120 systemctl restart edgefuse.service
}
accepts_settings() { [ ! -e "$SETTINGS/edgefuse.toml" ] || "$1/bin/edgefuse" config check "$SETTINGS/edgefuse.toml" >/dev/null; }
version_of() { "$1/bin/python" -c 'import importlib.metadata as m; print(m.version("edgefuse"))' 2>/dev/null || echo unknown; }

# not in /run/lock or /tmp, where everybody may put a link under that name
lock=/run
[ -d "$lock" ] || lock=/opt
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

if [ -n "$back" ]; then
    old=$(current) before=$(previous)
    if [ -z "$before" ] || [ -z "$old" ] || [ "$before" = "$old" ]; then fail "there is no earlier version to go back to"; fi
    accepts_settings "$before" || fail "the earlier version refuses $SETTINGS/edgefuse.toml, as above; nothing was changed"
    [ -e "$old/edgefuse.service" ] || cp "$UNIT" "$old/edgefuse.service"
    switch_to "$before"
    keep_for_rollback "$old"
    if running && [ -n "$start" ] && ! restarted; then
        switch_to "$old"
        keep_for_rollback "$before"
        restarted || true
        fail "the earlier version did not become READY within two minutes; $(version_of "$old") is back"
    fi
    echo "EdgeFuse $(version_of "$before") is in use again; --rollback goes back to $(version_of "$old")"
    exit 0
fi

python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || fail "needs Python 3.11 or later as python3 (Raspberry Pi OS 12 has it)"
python3 -c 'import ensurepip' 2>/dev/null || fail "needs Python's venv: sudo apt-get install python3-venv"

absolute() { echo "$(CDPATH='' cd -- "$(dirname -- "$1")" && pwd)/$(basename -- "$1")"; }
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
[ -z "$wheels" ] || wheels=$(CDPATH='' cd -- "$wheels" && pwd)
[ -z "$sums" ] || sums=$(absolute "$sums")
[ -z "$key" ] || key=$(absolute "$key")
if [ -z "$from" ]; then
    if [ -z "$wheels" ] && [ -e "$here/../pyproject.toml" ]; then from=$(dirname "$here"); else from=edgefuse; fi
fi
checkout=''
case $from in
*.whl | /* | ./* | ../*)
    [ -e "$from" ] || fail "--from $from: there is no such file or folder" 2
    from=$(absolute "$from")
    if [ -d "$from" ]; then checkout=$from; else sums=${sums:-$(dirname "$from")/SHA256SUMS}; fi
    ;;
edgefuse | edgefuse[=\<\>~!]*) [ -z "$wheels" ] || sums=${sums:-$wheels/SHA256SUMS} ;;
*) fail "--from $from: expected edgefuse==VERSION, a wheel, or a folder (./NAME)" 2 ;;
esac

cd /

# install to a new environment beside the old one, so that a failed or interrupted upgrade changes nothing
new="$VERSIONS/$(date +%Y%m%d-%H%M%S)-$$"
old=$(current)
finished='' switching=''
# keep the version before, for --rollback, and no other
tidy() {
    if [ -n "$old" ] && [ "$old" != "$new" ]; then keep_for_rollback "$old"; fi
    kept=$(previous)
    for folder in "$VERSIONS"/*/; do
        folder=${folder%/}
        [ -L "$folder" ] || [ "$folder" = "$new" ] || [ "$folder" = "$kept" ] || rm -rf "$folder"
    done
}
finish() {
    trap '' HUP INT TERM
    if [ -n "$finished" ]; then
        tidy
        return 0
    fi
    # interrupted, or not READY
    if [ -n "$old" ] && [ -n "$switching" ]; then
        switch_to "$old"
        if running && [ -n "$start" ]; then restarted || true; fi
    fi
    [ "$(current)" = "$new" ] || rm -rf "$new"
}
trap finish EXIT
trap 'exit 1' HUP INT TERM
mkdir -p "$VERSIONS"
echo "making $new"
# to find apt's picamera2 and its NumPy
python3 -m venv --system-site-packages "$new"
# readable by root alone, so that nobody can replace a file between its check and its use
install -d -m 700 "$new/wheels" "$new/tmp"
export TMPDIR="$new/tmp" PIP_NO_INPUT=1
pip="$new/bin/python -m pip --quiet --disable-pip-version-check"
offline=''
if [ -n "$wheels" ]; then
    cp -- "$wheels"/*.whl "$new/wheels/" || fail "--wheels $wheels: there are no wheels; nothing was changed"
    offline="--no-index --find-links $new/wheels"
fi
mkdir "$new/own"
if [ -n "$checkout" ]; then
    # this script's own checkout is trusted as much as this script
    [ -n "$unsigned" ] || [ "$checkout" = "$(dirname "$here")" ] || fail "--from $checkout is not signed; nothing was changed. --allow-unsigned installs it all the same"
    python3 -m venv "$new/build"
    if [ -n "$unlocked" ]; then
        # shellcheck disable=SC2086
        "$new/build/bin/python" -m pip --quiet --disable-pip-version-check install $offline hatchling || fail "pip could not install hatchling; nothing was changed"
    else
        # shellcheck disable=SC2086
        "$new/build/bin/python" -m pip --quiet --disable-pip-version-check install --require-hashes $offline -r "$checkout/deploy/locks/build.txt" ||
            fail "pip could not install hatchling as locked in deploy/locks/build.txt; nothing was changed"
    fi
    (cd "$checkout" && "$new/build/bin/python" -m hatchling build -t wheel -d "$new/own") >"$new/build.log" 2>&1 ||
        fail "the wheel could not be built; nothing was changed: $(tail -n 1 "$new/build.log")"
    rm -rf "$new/build"
else
    # shellcheck disable=SC2086
    $pip download --no-deps --only-binary=:all: $offline -d "$new/own" "$from" || fail "pip could not get $from; nothing was changed"
fi
wheel=$(echo "$new"/own/edgefuse-*.whl)
[ -f "$wheel" ] || fail "$from is not EdgeFuse; nothing was changed"
name=${wheel##*/}
version=${name#edgefuse-} version=${version%%-*}

# the wheel is named by a signed list of this version, with this sha256; prints when the list was made
signed() {
    command -v minisign >/dev/null || fail "needs minisign to check the signature: sudo apt-get install minisign; nothing was changed"
    if [ -z "$key" ]; then
        for key in "$SETTINGS/release.pub" "$here/release.pub" ''; do [ ! -f "$key" ] || break; done
    fi
    [ -n "$key" ] || fail "no key to check the signature with: --key FILE, or release.pub beside this script; nothing was changed"
    for file in "$sums" "$sums.minisig" "$key"; do [ -r "$file" ] || fail "$file can't be read; nothing was changed"; done
    cp -- "$sums" "$new/SHA256SUMS"
    cp -- "$sums.minisig" "$new/SHA256SUMS.minisig"
    cp -- "$key" "$new/release.pub"
    said=$(minisign -V -Q -p "$new/release.pub" -m "$new/SHA256SUMS") ||
        fail "$sums is not signed with the key $key, or was changed since; nothing was changed"
    # signed with the list: edgefuse VERSION SECONDS
    case $said in "edgefuse $version "*) ;; *) fail "$sums is of another release ($said) than $name; nothing was changed" ;; esac
    wanted=$(awk -v name="$name" '$2 == name || $2 == "*" name { print $1 }' "$new/SHA256SUMS")
    [ -n "$wanted" ] || fail "$sums does not name $name; nothing was changed"
    [ "$wanted" = "$(sha256sum "$wheel" | cut -d ' ' -f 1)" ] || fail "$name is not the file that $sums names: its sha256 differs; nothing was changed"
    made=${said##* }
    case $made in '' | *[!0-9]*) fail "$sums has no time in its signature; nothing was changed" ;; esac
    echo "$made" >"$new/signed"
}
if [ -n "$unsigned" ]; then
    echo "$name is installed without a check of its signature"
elif [ -z "$checkout" ]; then
    [ -e "$sums" ] || fail "$name has no signed list (SHA256SUMS and SHA256SUMS.minisig beside it, or --sums FILE); nothing was changed. --allow-unsigned installs it all the same"
    signed
fi

# an older version, or an older list of the same version
if [ -n "$old" ] && [ -z "$downgrade" ]; then
    installed=$(version_of "$old")
    if [ "$installed" != unknown ] && ! "$new/bin/python" -c 'import sys; from pip._vendor.packaging.version import Version as V; sys.exit(V(sys.argv[1]) < V(sys.argv[2]))' "$version" "$installed"; then
        fail "$version is older than the installed $installed; nothing was changed. --allow-downgrade installs it all the same"
    fi
    if [ -e "$new/signed" ] && [ -e "$old/signed" ] && [ "$(cat "$new/signed")" -lt "$(cat "$old/signed")" ]; then
        fail "$sums is older than the installed version's; nothing was changed. --allow-downgrade installs it all the same"
    fi
fi

if [ -n "$unlocked" ]; then
    # shellcheck disable=SC2086
    $pip install --root-user-action=ignore $offline "${wheel}[$extras]" || fail "pip could not install ${name}[$extras]; nothing was changed"
else
    "$new/bin/python" -c 'import platform, sys; sys.exit(sys.maxsize < 2**32 or platform.machine() not in ("aarch64", "x86_64"))' ||
        fail "the locked packages are for 64-bit ARM and x86; nothing was changed. --allow-unlocked lets pip choose others"
    $pip install --root-user-action=ignore --no-deps --no-index "$wheel" || fail "pip could not install $name; nothing was changed"
    locks=''
    for extra in $(echo "$extras" | tr ',' ' '); do
        lock=$(echo "$new"/lib/python3*/site-packages/edgefuse/deploy/locks/"$extra.txt")
        [ -e "$lock" ] || fail "there are no locked packages for the extra $extra; nothing was changed. --allow-unlocked lets pip choose them"
        locks="$locks -r $lock"
    done
    # shellcheck disable=SC2086
    $pip install --root-user-action=ignore --require-hashes $offline $locks || fail "pip could not install the locked packages of $extras; nothing was changed"
fi
"$new/bin/edgefuse" models verify >"$new/verify.log" 2>&1 || fail "the new version does not pass its own test here; nothing was changed: $(tail -n 1 "$new/verify.log")"
rm -rf "$new/wheels" "$new/own" "$new/tmp"
unset TMPDIR

files=$("$new/bin/python" -c 'import importlib.resources as r; print(r.files("edgefuse") / "deploy")')
[ -e "$files/edgefuse.service" ] || files=$here
[ -e "$files/edgefuse.service" ] || fail "neither the package nor $here holds edgefuse.service; nothing was changed"
accepts_settings "$new" || fail "the new version refuses $SETTINGS/edgefuse.toml, as above; nothing was changed"
cp "$files/edgefuse.service" "$new/edgefuse.service"

install -Dm644 "$files/edgefuse.sysusers" "$USERS"
systemd-sysusers "$USERS" 2>/dev/null || id edgefuse >/dev/null 2>&1 || fail "could not make the user edgefuse"
install -d -m 750 -o root -g edgefuse "$SETTINGS"
install -m 644 "$files/edgefuse.toml" "$SETTINGS/edgefuse.toml.example"
# never overwrite the user's settings
[ -e "$SETTINGS/edgefuse.toml" ] || install -m 640 -o root -g edgefuse "$files/edgefuse.toml" "$SETTINGS/edgefuse.toml"
# a later version must be signed with the same key
[ ! -e "$new/release.pub" ] || install -m 644 "$new/release.pub" "$SETTINGS/release.pub"
# settings, tokens and passwords: for the service, and nobody else
find "$SETTINGS" -type f -exec chown root:edgefuse {} + -exec chmod u=rw,g=r,o= {} +
install -Dm644 "$files/70-edgefuse.rules" "$RULES"
if running && udevadm control --reload 2>/dev/null; then udevadm trigger --subsystem-match=usb --subsystem-match=video4linux || true; fi

[ -z "$old" ] || [ -e "$old/edgefuse.service" ] || [ ! -e "$UNIT" ] || cp "$UNIT" "$old/edgefuse.service"
switching=yes
# an environment that was made manually
if [ -d "$LINK" ] && [ ! -L "$LINK" ]; then
    old="$VERSIONS/by-hand"
    mv "$LINK" "$old"
fi
install -d "${UNIT%/*}"
switch_to "$new"
[ -e /usr/local/bin/edgefuse ] || ln -sfn "$LINK/bin/edgefuse" /usr/local/bin/edgefuse
systemctl --quiet enable edgefuse.service

if running && [ -n "$start" ] && ! restarted; then
    journalctl -u edgefuse.service -n 5 -o cat --no-pager >&2 || true
    if [ -n "$old" ]; then fail "the new version did not become READY within two minutes; $(version_of "$old") is back"; fi
    finished=yes
    fail "it is installed, but gets no frame through; the lines above say why: edit $SETTINGS/edgefuse.toml, then sudo systemctl restart edgefuse"
fi
finished=yes
tidy
echo "$("$LINK/bin/edgefuse" --version | head -n 1) is installed; settings: $SETTINGS/edgefuse.toml; log: journalctl -u edgefuse"
if ! grep -Eq '^[^#]*(source|camera)[^[:alnum:]_#]*=' "$SETTINGS/edgefuse.toml"; then
    echo "it is not configured yet: set source or camera in $SETTINGS/edgefuse.toml, then: sudo systemctl restart edgefuse"
fi
