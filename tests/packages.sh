# Installing Debian packages of tests/packages.txt; sourced by tests/run.sh and bench/demo.sh in the root of the tree.
as_root() { if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi; }
# missing_packages GROUPS: those of the groups (an extended regular expression) that are not installed.
missing_packages() {
    local name
    awk -v groups="^($1)\$" '$1 ~ groups { print $2 }' tests/packages.txt | while read -r name; do
        dpkg-query -W -f '${db:Status-Abbrev}' "$name" 2>/dev/null | grep -q '^ii' || echo "$name"
    done
}
install_packages() { # GROUPS
    local missing
    missing=$(missing_packages "$1")
    [ -z "$missing" ] && return 0
    echo "installing:" $missing
    if grep -q ':arm64' <<<"$missing"; then as_root dpkg --add-architecture arm64 || return 1; fi
    # shellcheck disable=SC2086
    as_root apt-get update -qq &&
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing
}
