# Keepsake. `make` lists the targets; `make test` is everything CI runs.
# Needs Go and make; a target that needs more installs it (tools/need).

SHELL    := bash
# Nothing is skipped under make: what cannot run fails, and says what it needs (internal/mounttest).
export KEEPSAKE_TEST_EVERYTHING := 1
# Packages tested at once: one more than there are processors, since many tests wait for clocks and other processes.
AT_ONCE  ?= $(shell expr $$(nproc) + 1)
FUZZTIME ?= 5s
export FUZZTIME
SEEDS    ?= 10000
FIRST    ?= 1
TIMES    ?= 10
# Pinned in tools/go.mod, a module of its own, so that the product's go.mod stays small.
TOOL     := go tool -modfile=tools/go.mod
# The command that is shipped has no C in it; the race detector needs a C compiler and asks for one.
RACE      = CGO_ENABLED=1 go test -race -timeout 20m -skip '$(UNRACED)'
# vaultd is the one program that may have C in it: PKCS#11 modules are C libraries (doc/decisions/0037-pkcs11.md).
# Names and users are looked up without libc all the same.
CGO       = CGO_ENABLED=$$(command -v "$$(go env CC)" >/dev/null && echo 1 || echo 0)
# How all of cloud/rclone is built: in one way, for one cache of its hundred modules. Each other costs three minutes.
ONE_WAY  := export CGO_ENABLED=0 GOFLAGS=-trimpath
# Tests that take minutes under the race detector and run no goroutines that other tests do not run: kills of child
# processes, memory bounds (which the detector itself would exceed), byte by byte mangling, a second decoder, fuzz seeds;
# and the scripts of the command, which start it some hundred times: the goroutines are those of client and backup;
# and the planted bugs, each in a world of one thread; a TPM's or token's process that dies at each command;
# and what computes much in one goroutine; and what is not built for the detector at all (internal/policy sees to that).
UNRACED  := ^(TestPlantedBugsAreFound|TestKilled|TestDies|TestCutIn|TestManyTinyFiles|TestHuge|TestMangle|TestRestoreWithEachObjectMangled|TestIndependent|TestScripts|Fuzz|TestSlowCloudHoldsNoLock|TestStateFollowsWrites|TestBuilderPieces|TestLockBytePage|TestMemoryOverANetwork|TestQuiescentIsIdentical|TestManifestAroundGaps|TestWycheproof|TestRandomPairs|TestDestroyedKey)

# What the tests use of the system: a keyring, a message bus for it, disks in files, cables between networks, a TPM,
# a PKCS#11 token, and a C compiler for what talks to it; an SSH server, what checks units of systemd, and Python for
# make-chat.py.
define NEED_FOR_TESTS
tools/need gnome-keyring-daemon gnome-keyring
tools/need dbus-run-session dbus-daemon
PATH="$$PATH:/sbin:/usr/sbin" tools/need mkfs.ext4 e2fsprogs
PATH="$$PATH:/sbin:/usr/sbin" tools/need ip iproute2
tools/need swtpm
tools/need python3
tools/need softhsm2-util softhsm2
PATH="$$PATH:/sbin:/usr/sbin" tools/need sshd openssh-server
tools/need ssh-keygen openssh-client
tools/need systemd-analyze systemd
tools/need gcc gcc libc6-dev
PATH="$$PATH:/usr/sbin" tools/need apache2 apache2-bin
endef

# Tests of what is built otherwise: the other module, without cgo, with bugs, as the next version.
define OTHERWISE
cd cloud/rclone && $(ONE_WAY) && go test -p $(AT_ONCE) -timeout 20m ./...
CGO_ENABLED=0 go build ./...
CGO_ENABLED=0 go test -timeout 5m ./anchor/pkcs11
go test -timeout 10m -tags planted -run '^TestPlantedBugsAreFound$$' ./internal/sim -args -inside
go test -timeout 5m -tags memo -run '^(TestResults|TestVerify|TestKept.*)$$' ./internal/memo ./internal/sim
go test -timeout 5m -tags nextversion -run '^(TestMark|TestMixedVersions)$$' ./vaultd/machine ./vaultd
endef

.DEFAULT_GOAL := help
.PHONY: help build cloud test check check-cloud unit once long race sim outages sim-profile sim-planted fuzz stats demo bench-backup bench-cloud bench-vault bench-fleet bench-anchor clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 15

build: ## bin/keepsake, bin/chatd, bin/devnet; bin/vaultd, with PKCS#11 if there is a C compiler
	CGO_ENABLED=0 go build -trimpath -o bin/ ./cmd/keepsake ./cmd/chatd ./cmd/devnet
	$(CGO) go build -trimpath -tags netgo,osusergo -o bin/ ./cmd/vaultd

cloud: ## bin/keepsake-cloud, which speaks to clouds: a module of its own with their SDKs (two minutes the first time)
	cd cloud/rclone && $(ONE_WAY) && go build -o ../../bin/ ./cmd/keepsake-cloud

test: check once race fuzz ## everything: format, vet, staticcheck, govulncheck, tests, race detector, fuzzing

check: ## gofmt, go vet, staticcheck, govulncheck
	@unformatted=$$(git ls-files -co --exclude-standard '*.go' | xargs -r gofmt -l); \
	if [ -n "$$unformatted" ]; then echo "not gofmt'ed:"; echo "$$unformatted"; exit 1; fi
	tools/need gcc gcc libc6-dev
	CGO_ENABLED=1 go vet ./...
	CGO_ENABLED=1 $(TOOL) staticcheck ./...
	cd cloud/rclone && $(ONE_WAY) && go vet -tags long ./...
	tools/vulncheck

check-cloud: ## staticcheck of the module of clouds: its hundred others are read too, which takes five minutes; not part of test
	staticcheck=$$(CGO_ENABLED=1 $(TOOL) -n staticcheck) && cd cloud/rclone && $(ONE_WAY) && $$staticcheck ./...

unit: ## go test ./..., import policy, sizes and docs included
	$(NEED_FOR_TESTS)
	@# The longest first: they mostly wait, and others run beside them. With cgo said aloud: without it Go leaves
	@# out the tests of PKCS#11, and says nothing.
	CGO_ENABLED=1 go test -p $(AT_ONCE) -timeout 20m ./endtoend/... ./...
	$(OTHERWISE)

once: ## what of unit the race detector does not run: each test once in `make test`
	$(NEED_FOR_TESTS)
	CGO_ENABLED=1 go test -p $(AT_ONCE) -timeout 20m ./endtoend/... $$(tools/concurrent -v)
	CGO_ENABLED=1 go test -p $(AT_ONCE) -timeout 20m -run '$(UNRACED)' $$(tools/concurrent)
	$(OTHERWISE)

long: ## what make test leaves out: a second S3 server (versitygw, ten minutes to build), the whole suite over the fake iCloud
	cd cloud/rclone && $(ONE_WAY) && go test -tags long -timeout 60m -run '^(TestVersitygw|TestConformance)$$' . ./fakeicloud

race: ## go test -race on the packages where goroutines meet
	tools/need gcc gcc libc6-dev
	$(NEED_FOR_TESTS)
	$(RACE) -p $(AT_ONCE) $$(tools/concurrent)

sim: ## the whole fleet in one thread: make sim SEEDS=n FIRST=seed (10,000 from 1)
	@mkdir -p bin && go test -c -tags memo $(if $(wildcard bin/sim.pgo),-pgo $(CURDIR)/bin/sim.pgo) -o bin/sim.test ./internal/sim
	bin/sim.test -test.run '^TestSeeds$$' -test.timeout 0 -jobs $$(nproc) -seeds $(SEEDS) -first $(FIRST)

outages: ## five vaultd and two chatd lose machines, TIMES=10 times each, under load: a dated table in bench/ (two minutes each time)
	PATH="$$PATH:/sbin:/usr/sbin" tools/need ip iproute2
	go test -run '^TestOutages$$' -timeout 60m -v ./endtoend/outage -args -times $(TIMES) -table $(CURDIR)/bench/outages-$$(date +%F).md

sim-profile: ## bin/sim.pgo, by which make sim builds the simulator from then on, if it is there: for long runs
	@mkdir -p bin && go test -c -tags memo -o bin/sim.test ./internal/sim
	bin/sim.test -test.run '^TestSeeds$$' -test.timeout 0 -seeds 500 -first 1 -test.cpuprofile $(CURDIR)/bin/sim.pgo

sim-planted: ## bugs planted on purpose, each of which the simulator must find; writes the table in bench/sim.md
	go test -tags planted,memo -run '^TestPlantedBugsAreFound$$' -timeout 20m ./internal/sim -args -table $(CURDIR)/bench/sim.md

fuzz: ## each fuzz target for FUZZTIME (5s: a trial; FUZZTIME=10m is a search)
	tools/fuzz

stats: ## sizes of functions and files against the budgets
	go run ./internal/policy/stats

demo: build ## lose the phone, get the chats back: with a password, and with 64 digits
	demo/run

bench-backup: ## Keepsake against restic, kopia, tar|age: a dated table in bench/ (QUICK=1: a small trial)
	bench/backup

bench-cloud: ## Keepsake against restic, kopia, rclone crypt over S3, near and far: a dated table in bench/ (QUICK=1: a small trial)
	bench/cloud

bench-vault: ## what the vault costs: processor time, load, memory: a dated table in bench/ (QUICK=1: a small trial)
	bench/vault

bench-fleet: ## what five replicas cost beside one, data centers apart, elections: a dated table in bench/ (QUICK=1: a small trial)
	bench/fleet

bench-anchor: ## what each anchor's step costs, alone and under a fleet's load: a dated table in bench/ (QUICK=1: a small trial)
	bench/anchor

clean: ## remove what make made
	rm -rf bin
