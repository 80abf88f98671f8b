# shellcheck shell=bash
# What both demos share: narration, checked commands, and a temporary folder that is gone at the end.
set -euo pipefail
root=$PWD
shared=${KEEPSAKE_SHARED:-$root/../shared}
if [ ! -f "$shared/tools/make-chat.py" ]; then
  echo "demo: the chat data is not at $shared; set KEEPSAKE_SHARED to the folder with tools/make-chat.py" >&2
  exit 1
fi
tools/need python3 python3
work=$(mktemp -d "${TMPDIR:-/tmp}/keepsake-demo.XXXXXX")
servers=() quiet=
# A folder without write permission is one that a test or a restore made so.
clean() {
  local pid
  if [ -n "$quiet" ]; then cat last >&2; fi
  if [ ${#servers[@]} -gt 0 ]; then
    kill "${servers[@]}" 2>/dev/null || true
    for pid in "${servers[@]}"; do
      while kill -0 "$pid" 2>/dev/null; do sleep 0.05; done
    done
  fi
  chmod -R u+w "$work"
  rm -rf "$work"
}
trap clean EXIT
export PATH="$root/bin:$PATH"
cd "$work"

if [ -t 1 ]; then bold=$'\e[1m' dim=$'\e[2m' off=$'\e[0m'; else bold='' dim='' off=''; fi
n=0
say() { n=$((n + 1)); printf '\n%s%d. %s%s\n' "$bold" $n "$*" "$off"; }
run() { printf '%s$ %s%s\n' "$dim" "$*" "$off"; "$@" 2>&1; }
# expect CODE COMMAND…: the command must end with this exit code.
expect() {
  local want=$1 got=0; shift
  printf '%s$ %s%s\n' "$dim" "$*" "$off"
  "$@" 2>&1 || got=$?
  [ "$got" = "$want" ] || { echo "demo: exit code $got, not $want" >&2; exit 1; }
  printf '%s(exit code %s)%s\n' "$dim" "$got" "$off"
}
messages() { python3 -c 'import sqlite3,sys; d=sqlite3.connect(sys.argv[1]); print(d.execute("pragma integrity_check").fetchone()[0]+",", d.execute("select count(*) from message").fetchone()[0], "messages; the last one says:", d.execute("select text_data from message where text_data is not null order by _id desc limit 1").fetchone()[0][:60])' "$1"; }
the_end() { printf '\n%sThat is all. Everything was in %s, which is deleted now.%s\n' "$bold" "$work" "$off"; }
