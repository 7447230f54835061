# drop_root, for scripts that must not run as root. Sourced after lib.sh.

# drop_root NAME ARGS...: returns at once unless uid is 0. As root it copies the tree to where an
# unprivileged user may write, runs scripts/NAME ARGS there as that user, and exits with its code. The
# user is a number, no account is made; its home and caches stay in $base for the next time. A file
# named in $json comes back through DRAWSPAN_JSON, or stays as it was where nothing was written.
drop_root() {
	[ "$(id -u)" = 0 ] || return 0
	need_debian git setpriv=util-linux unshare=util-linux flock=util-linux
	dev=${DRAWSPAN_DEV_UID:-61234} slot=1 rc=0
	base=/var/tmp/drawspan-dev-$dev home=/var/tmp/drawspan-dev-$dev/home
	[ -e "$base" ] || mkdir -m 0755 "$base" || exit 1
	[ "$(stat -c %u:%F "$base")" = 0:directory ] || die "$base is not a directory of root's: remove it"
	# Several runs at once have a copy each; the first free one is taken, because its build cache fits.
	while exec 9>"$base/lock$slot" && ! flock -n 9; do slot=$((slot + 1)); done
	here=$base/$slot goroot=$(go env GOROOT)
	rm -rf "$here" && mkdir -m 0755 "$here" && install -d -m 0700 -o "$dev" -g "$dev" "$home" "$here/tmp" "$here/src"
	as_dev test -x "$goroot/bin/go" || die "uid $dev cannot run $goroot/bin/go: install Go where everybody may read it"
	copy_tree "$here/src" || die "could not copy the tree to $here/src"
	seed_modules "$home/proxy" || say "modules could not be handed over; they will be downloaded"
	name=$1 && shift
	set -- sh "$here/src/scripts/$name" "$@"
	for v in CI TERM LANG NO_COLOR COLUMNS NODE_EXTRA_CA_CERTS http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY SSL_CERT_FILE SSL_CERT_DIR DRAWSPAN_AGENTS_DIR DRAWSPAN_ONLY DRAWSPAN_ROUNDS npm_config_registry npm_config_cafile npm_config_proxy npm_config_https_proxy npm_config_noproxy; do
		eval "[ -z \"\${$v:-}\" ] || set -- \"$v=\$$v\" \"\$@\""
	done
	for v in GOFLAGS GOSUMDB GONOSUMDB GOPRIVATE GONOPROXY; do set -- "$v=$(go env $v)" "$@"; done
	as_dev env -i PATH="$goroot/bin:$PATH" HOME="$home" TMPDIR="$here/tmp" GOPATH="$home/go" GOMODCACHE="$home/go/pkg/mod" \
		GOCACHE="$home/.cache/go-build" GOTOOLCHAIN=local GOPROXY="file://$home/proxy,$(go env GOPROXY)" \
		XDG_CACHE_HOME="$home/.cache" XDG_CONFIG_HOME="$home/.config" XDG_DATA_HOME="$home/.local/share" \
		XDG_STATE_HOME="$home/.local/state" XDG_RUNTIME_DIR="$here/tmp" DRAWSPAN_JSON="${json:+$here/tmp/json}" "$@" 9>&- || rc=$?
	[ -z "${json:-}" ] || { as_dev test -s "$here/tmp/json" && as_dev cat "$here/tmp/json" >"$json"; } || rc=1
	rm -rf "$here/tmp"
	exit "$rc"
}

as_dev() { (cd "$base" && exec setpriv --reuid "$dev" --regid "$dev" --clear-groups --inh-caps=-all --pdeathsig TERM "$@"); }
as_git() { git -c safe.directory='*' "$@"; }

# copy_tree DIR: what git tracks and what it does not ignore, with the repository itself.
copy_tree() {
	# shellcheck disable=SC2016 # the inner shell expands it
	{ as_git ls-files -coz --exclude-standard 2>/dev/null || find . -type f -print0; } | xargs -0 sh -c 'for f; do [ ! -e "$f" ] && [ ! -L "$f" ] || printf "%s\\0" "$f"; done' - |
		tar --null -T - -cf - | as_dev tar -C "$1" -xf - && as_dev git init -q "$1" || return 1
	as_git rev-parse HEAD >/dev/null 2>&1 || return 0
	common=$(as_git rev-parse --path-format=absolute --git-common-dir) private=$(as_git rev-parse --absolute-git-dir)
	tar -C "$common" --exclude=./hooks --exclude=./config --exclude=./worktrees --exclude='*.lock' --exclude='tmp_*' -cf - . |
		as_dev tar -C "$1/.git" -xf - || return 1
	for f in HEAD index; do [ ! -f "$private/$f" ] || as_dev tee "$1/.git/$f" <"$private/$f" >/dev/null || return 1; done
}

# seed_modules DIR: hands over the modules that root has downloaded, so that no network is needed.
seed_modules() {
	from=$(go env GOMODCACHE)/cache/download
	[ -d "$from" ] || return 0
	as_dev mkdir -p "$1" && find . -name go.sum -exec cat {} + | LC_ALL=C awk '
		function esc(s,  i, c, o) { for (i = 1; i <= length(s); i++) { c = substr(s, i, 1); o = o (c ~ /[A-Z]/ ? "!" tolower(c) : c) } return o }
		{ v = $2; zip = !sub(/\/go.mod$/, "", v); p = esc($1) "/@v/" esc(v); print p ".info\n" p ".mod"; if (zip) print p ".zip" }' |
		sort -u | while read -r f; do [ ! -f "$from/$f" ] || echo "$f"; done | tar -C "$from" -T - -cf - | as_dev tar -C "$1" --skip-old-files -xf -
}
