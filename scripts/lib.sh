# What several scripts need. Sourced, never run: `. "$(dirname "$0")/lib.sh"` leaves the caller in the
# project's root, with $root, and with $caller_dir where the caller was.
unset CDPATH
caller_dir=$PWD
cd "$(dirname "$0")/.." || exit 1
root=$PWD

say() { printf '%s\n' "drawspan: $*" >&2; }
die() { say "$*"; exit 1; }

# usage prints the comment at the head of the script and exits 0.
usage() { awk 'NR > 1 { if (!/^#/) exit; sub(/^# ?/, ""); print }' "$root/scripts/${0##*/}"; exit 0; }

# caller_path FILE: as the caller meant it, although we have changed the directory since.
caller_path() { case $1 in /*) echo "$1" ;; *) echo "$caller_dir/$1" ;; esac; }

# need_go: Go 1.26 or later on PATH, or one line and the end. A missing HOME is found or made.
need_go() {
	command -v go >/dev/null 2>&1 || PATH=$PATH:/usr/local/go/bin:/usr/lib/go/bin
	[ -n "${HOME:-}" ] || HOME=$(getent passwd "$(id -u)" | cut -d: -f6)
	[ -d "$HOME" ] || HOME=$(mktemp -d)
	export PATH HOME GOTOOLCHAIN=local
	go=$(cd / && go env GOVERSION 2>/dev/null) || die "Go is missing: install Go 1.26 or later from https://go.dev/dl"
	minor=${go#go1.}
	minor=${minor%%[!0-9]*}
	case $go in
	go1.*) [ "${minor:-0}" -ge 26 ] || die "Go 1.26 or later is needed and $go is here: see https://go.dev/dl" ;;
	esac
}

# need_debian PROGRAM[=PACKAGE[+PACKAGE]]...: installs what is missing when root on Debian, or names it. What
# lies in root's home is there for nobody else.
need_debian() {
	missing='' others=$(echo "$PATH" | tr : '\n' | grep -v '^/root/' | paste -s -d : -)
	for need; do
		(PATH=$others && command -v "${need%%=*}") >/dev/null 2>&1 || missing="$missing $(echo "${need#*=}" | tr + ' ')"
	done
	[ -n "$missing" ] || return 0
	if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
		die "missing here:$missing; install it (Debian: apt-get install$missing)"
	fi
	say "installing$missing"
	# shellcheck disable=SC2086 # a list of packages
	{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing; } >&2 ||
		die "apt-get could not install$missing"
}

# need_userns: false, and one line on what this machine refuses and what helps, without user namespaces.
need_userns() {
	why=$(unshare -Urmpnf --mount-proc true 2>&1) && return 0
	remedy='run the container with --security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined'
	refuses() { [ "$(cat "/proc/sys/$1" 2>/dev/null)" = "$2" ]; }
	refuses kernel/unprivileged_userns_clone 0 && remedy='sysctl -w kernel.unprivileged_userns_clone=1'
	refuses kernel/apparmor_restrict_unprivileged_userns 1 && remedy='sysctl -w kernel.apparmor_restrict_unprivileged_userns=0'
	refuses user/max_user_namespaces 0 && remedy='sysctl -w user.max_user_namespaces=15000'
	say "uid $(id -u) may not make user namespaces here, which every sandbox needs ($(echo "$why" | head -n 1)); remedy: $remedy"
	return 1
}
