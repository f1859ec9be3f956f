# Sourced by the scripts: the root of the repository, messages, needs.
# shellcheck shell=bash
LATTICE_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export LATTICE_ROOT
# bpftool, ip and nft live in sbin, which a user's PATH does not always have.
export PATH="$PATH:/usr/sbin:/sbin"
# One cache for every checkout of the repository, wherever it is.
export CCACHE_BASEDIR=$LATTICE_ROOT CCACHE_NOHASHDIR=1

note() { printf '==> %s\n' "$*" >&2; }

die() {
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}

need_root() {
  [ "$(id -u)" -eq 0 ] || die "needs root: $1; run it with sudo"
}

jobs_default() { echo "${LATTICE_JOBS:-$(nproc)}"; }

# tracked PATTERN…: files of the repository, committed or about to be, that match
# the git patterns; in an unpacked archive without git, every file that does.
tracked() {
  if git -C "$LATTICE_ROOT" rev-parse --is-inside-work-tree >/dev/null 2>&1; then # no git is an answer here
    git -c safe.directory='*' -C "$LATTICE_ROOT" ls-files --cached --others --exclude-standard -- "$@" | while read -r file; do
      if [ -f "$LATTICE_ROOT/$file" ]; then echo "$file"; fi
    done
  else
    local pattern arguments=()
    for pattern in "$@"; do arguments+=(-o -path "./$pattern"); done
    (cd "$LATTICE_ROOT" && find . -path ./build -prune -o -type f \( -false "${arguments[@]}" \) -print | sed 's|^\./||')
  fi
}
