# shellcheck shell=bash
# What the demo of the vault needs besides narration: servers, and ways to lose them.
declare -A pid

# ports N: N ports that nobody has, and whose two successors nobody has either (for the operator, and for the other machines). They are
# below those that the system gives to outgoing connections, of which there are many here by the time that the last server listens.
ports() { python3 - "$1" <<'PY'
import random, socket, sys
lowest = 32768
try:
    lowest = int(open("/proc/sys/net/ipv4/ip_local_port_range").read().split()[0])
except OSError:
    pass
found, held = [], []
while len(found) < int(sys.argv[1]):
    port = random.randrange(1024, lowest - 3) if lowest < 20000 else random.randrange(15000, lowest - 3)
    trio = [socket.socket() for _ in range(3)]
    held += trio
    try:
        for i, s in enumerate(trio):
            s.bind(("127.0.0.1", port + i))
        found.append(port)
    except OSError:
        pass
print(*found)
PY
}
# serve NAME COMMAND…: runs a server until the demo ends; its log is in NAME.log.
serve() {
  local name=$1; shift
  printf '%s$ %s &%s\n' "$dim" "$*" "$off"
  "$@" >>"$name.log" 2>&1 </dev/null &
  pid[$name]=$!
  servers+=($!)
  disown # its end is the demo's business, not the shell's
}
# ready NAME PORT: waits until the server says that it is.
ready() {
  if python3 - "$2" <<'PY'
import sys, time, urllib.request
for _ in range(300):
    try:
        urllib.request.urlopen("http://127.0.0.1:%s/readyz" % sys.argv[1], timeout=2)
        sys.exit(0)
    except OSError:
        time.sleep(0.1)
sys.exit(1)
PY
  then return; fi
  echo "demo: $1 does not get ready:" >&2
  cat "$1.log" >&2
  exit 1
}
# brief: a key in a text that people read takes 32 lines; one is shown.
brief() { awk '/^sealing /{ if (n++ == 0) print $0 " (and 31 more lines)"; next } { n = 0; print }'; }
# quietly COMMAND…: what is as it was shown before. Its output is in the file last, and is told when it fails.
quietly() {
  quiet=1
  "$@" >last 2>&1
  quiet=
}
# kill_hard NAME…: SIGKILL, without a word of warning.
kill_hard() {
  local name
  for name in "$@"; do
    printf '%s$ kill -9 %s   # %s%s\n' "$dim" "${pid[$name]}" "$name" "$off"
    kill -9 "${pid[$name]}"
  done
}
# strike FILE NAME…: kills servers as soon as the next line is in FILE, and says in the file struck whether that was in time.
strike() {
  local file=$1 lines; shift
  lines=$(wc -l <"$file")
  while [ "$(wc -l <"$file")" = "$lines" ]; do sleep 0.01; done
  kill_hard "$@"
  if [ -e restored ]; then echo too-late; else echo in-the-middle; fi >struck
}
# codes: how many login codes the issuer has printed; code N: the one after the first N. It stands for the message that brings it.
codes() { grep -c 'the code for' issuer.log || true; }
code() {
  local i
  for i in $(seq 150); do
    if [ "$(codes)" -gt "$1" ]; then
      grep 'the code for' issuer.log | tail -n 1 | sed -E 's/.* is ([0-9]{8}) .*/\1/'
      return
    fi
    sleep 0.2
  done
}
# login PROFILE: logs in with a code.
login() {
  local sent; sent=$(codes)
  printf '%s$ keepsake --profile %s login --server card.json --handle ann@example.org%s\n' "$dim" "$1" "$off"
  keepsake --profile "$1" login --server card.json --handle ann@example.org --accept-insecure-vault --code-file <(code "$sent") 2>&1
}
secret() { (umask 077; printf '%s\n' "$2" >"$1"); }
