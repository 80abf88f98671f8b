# shellcheck shell=bash
# What the vaults of the demo count on: TPMs or tokens, played by programs, if those are installed; else files.
# KEEPSAKE_DEMO_ANCHOR=tpm, pkcs11 or software chooses.
softhsm_module() {
  local file
  for file in /usr/lib/softhsm/libsofthsm2.so /usr/lib/*/softhsm/libsofthsm2.so /usr/lib64/pkcs11/libsofthsm2.so; do
    if [ -e "$file" ]; then echo "$file"; return; fi
  done
  return 1
}
# A vaultd that was built without a C compiler has no PKCS#11.
pkcs11_built() { go version -m "$root/bin/vaultd" 2>/dev/null | grep -q 'CGO_ENABLED=1'; }
hardware=${KEEPSAKE_DEMO_ANCHOR:-}
if [ -z "$hardware" ]; then
  if command -v swtpm >/dev/null; then hardware=tpm
  elif command -v softhsm2-util >/dev/null && softhsm_module >/dev/null && pkcs11_built; then hardware=pkcs11
  else hardware=software
  fi
fi
secret custodian 'a secret that nobody keeps here'
if [ "$hardware" = pkcs11 ]; then
  module=$(softhsm_module)
  mkdir tokens
  printf 'directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n' "$work/tokens" >softhsm2.conf
  export SOFTHSM2_CONF=$work/softhsm2.conf
fi
# chip NAME: starts a TPM, which is empty the first time.
chip() {
  mkdir -p "$1/chip"
  swtpm socket --tpm2 --tpmstate "dir=$1/chip,mode=0600" --server "type=unixio,path=$work/$1.tpm,mode=0600" --flags not-need-init,startup-clear >>"$1-chip.log" 2>&1 </dev/null &
  servers+=($!)
  disown
  for _ in $(seq 100); do
    if [ -S "$work/$1.tpm" ]; then return; fi
    sleep 0.05
  done
  echo "demo: the TPM of $1 does not start" >&2
  exit 1
}
# counts NAME: sets flags to what vaultd init is told of what the machine counts on.
counts() {
  case $hardware in
    tpm)
      mkdir -p "$1"
      chip "$1"
      flags=(--anchor tpm --tpm-path "$work/$1.tpm" --custodian custodian)
      ;;
    pkcs11)
      softhsm2-util --init-token --free --label "$1" --so-pin 27182818 --pin 31415926 >/dev/null
      secret sopin 27182818
      secret "$1.pin" 31415926
      flags=(--anchor pkcs11 --pkcs11-module "$module" --pkcs11-token "$1" --pin-file "$1.pin" --custodian sopin)
      ;;
    *) flags=(--insecure-software-anchor) ;;
  esac
}
# hand_over FROM TO…: the fleet's key goes from one machine's device to the others, wrapped, before any of them runs.
hand_over() {
  local from=$1 to by=custodian; shift
  if [ "$hardware" = pkcs11 ]; then by=sopin; fi
  for to in "$@"; do
    if [ "$to" = "$1" ]; then
      run vaultd device request --config "$to/vault/vaultd.toml" --out "$to.request"
      run vaultd device wrap "$to.request" --config "$from/vault/vaultd.toml" --custodian "$by" --out "$to.wrapped" --yes
      run vaultd device install "$to.wrapped" --config "$to/vault/vaultd.toml"
    else
      quietly vaultd device request --config "$to/vault/vaultd.toml" --out "$to.request"
      quietly vaultd device wrap "$to.request" --config "$from/vault/vaultd.toml" --custodian "$by" --out "$to.wrapped" --yes
      quietly vaultd device install "$to.wrapped" --config "$to/vault/vaultd.toml"
    fi
  done
}
# counts_on: what the story says of it.
counts_on() {
  case $hardware in
    tpm) echo "(Every machine counts on a TPM of its own, played by swtpm. It says insecure all the same, and means it: these vaults wait 1 s between guesses, not up to a day.)" ;;
    pkcs11) echo "(Every machine counts on a PKCS#11 token of its own, played by SoftHSM. It says insecure all the same, and means it: these vaults wait 1 s between guesses, not up to a day.)" ;;
    *) echo "(It says insecure all over, and means it: these vaults' anchors are files, as neither swtpm nor SoftHSM is used; and they wait 1 s between guesses, not up to a day.)" ;;
  esac
}
