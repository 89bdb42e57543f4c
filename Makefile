# One command a task; CI (.ci/run) runs the same ones.

.PHONY: demo test test-console console-pictures model faults bench bench-companions bench-producer consumer-faults matrix upgrades deb release lint servers tools

# Tests mostly wait for servers: with two for each processor, the integration tests take little more
# than half the time.
export RUST_TEST_THREADS ?= $(shell echo $$((2 * $$(getconf _NPROCESSORS_ONLN))))

# Places ORDERS orders and checks them all; without ORDERS it runs until Ctrl-C. CHAOS=programs kills
# programs meanwhile, CHAOS=redis-rollback lets Redis come back with an older copy of its data.
demo: servers
	cargo build --locked --bins
	cargo run --locked --quiet --bin demo -- $(if $(ORDERS),--orders $(ORDERS)) $(if $(CHAOS),--chaos $(CHAOS))

# The second command is for the drivers that no program of ours uses: sqlx and sea-orm take minutes
# to build. The third one is for a consumer without Prometheus.
test: tools
	cargo test --locked
	cargo test --locked --package outflow-producer --all-features
	cargo test --locked --package outflow-consumer --no-default-features

# The console's tests alone, in a real browser too. It leaves pictures of all pages in target/console.
test-console: tools
	cargo build --locked --bins
	cargo test --locked --test it console::

# The pictures of docs/console.md, made anew in a few minutes: plots need something to show.
console-pictures: tools
	scripts/console-pictures.sh

# The models of the protocol in all their configurations, optimised, with the number of states of each.
# ONLY=kept: that of the kept outbox alone.
model:
	cargo test --locked --config 'profile.dev.package.outflow.opt-level=2' --test model -- \
	  $(ONLY) --include-ignored --nocapture

# Members, servers and the network between them fail in every way there is, and a checker reads the
# streams afterwards.
# SEED=42 MINUTES=30 MEMBERS=3; ONLY=freeze,pg-cut: those alone (tests/faults/kind.rs). TRIM=1: the
# relay trims what consumer groups have read, from a Redis that is nearly full all the time.
# KEEP=1: the rows stay (settle = "keep"), on a ring if the seed is odd. FILES=1: leaves the logs.
faults: servers
	SEED=$(SEED) MINUTES=$(MINUTES) MEMBERS=$(MEMBERS) ONLY=$(ONLY) TRIM=$(TRIM) KEEP=$(KEEP) \
	  $(if $(FILES),FILES=$(FILES)) \
	  cargo test --locked --quiet --test faults a_long_run_is_clean -- --ignored --nocapture --exact

# Measures the figures of docs/benchmarks.md, about nine minutes on a machine with nothing else to
# do. The table is on stdout, the rest in tests/bench/out. QUICK=1: two minutes, to see that it
# works. ONLY=drain,latency: those alone (tests/bench/options.rs).
bench: servers
	cargo build --locked --profile dist --bin outflow
	BENCH_BINARY=$(abspath $(or $(CARGO_TARGET_DIR),target))/dist/outflow QUICK=$(QUICK) ONLY=$(ONLY) \
	  cargo bench --locked --quiet --bench bench

# order-api and order-consumer beside the tutorial's way in Python; about two minutes.
bench-companions: tools
	cargo bench --locked --quiet --package outflow-orders --bench companions

# What an event costs its writer, with a prepared statement and without; a minute.
bench-producer: servers
	cargo bench --locked --quiet --package outflow-producer --bench write

# Ten minutes over 100,000 entries with three consumers that are killed, frozen, stopped, started and
# doubled at random, and a Postgres that freezes and ends sessions. SEED repeats what is drawn; `make
# test` has a run of ten seconds.
consumer-faults: servers
	cargo build --locked --bins
	CONSUMER_FAULTS_SECONDS=$(or $(SECONDS),600) CONSUMER_FAULTS_ENTRIES=$(or $(ENTRIES),100000) \
	  $(if $(SEED),CONSUMER_FAULTS_SEED=$(SEED)) cargo test --locked --test it consumer::faults -- --nocapture

# The tests against other versions of Postgres, Redis and Valkey: a quarter of an hour each.
# It writes docs/compatibility.md. ONLY="postgres-18+installed installed+valkey-9": those alone.
matrix: tools
	ONLY="$(ONLY)" scripts/matrix.sh

# Rolling upgrades from older relays to this one and back, under load; and servers that are too old.
# It builds the older relays from their commits: a few minutes at first. OLDER="COMMIT …": those alone.
upgrades: servers
	$(if $(OLDER),OLDER="$(OLDER)") scripts/upgrades.sh

# The Debian package, in target/debian. Needs cargo-deb (cargo install cargo-deb).
deb:
	cargo build --locked --release --bin outflow
	rm -rf target/man && mkdir -p target/man
	target/release/outflow man --dir target/man
	cargo deb --no-build

# What a release consists of, in target/release-files: binaries for each target, packages, SBOM,
# checksums. docs/releasing.md has the steps around it. PROFILE=dev to try it out.
release:
	scripts/release.sh

lint:
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo clippy --locked --package outflow-producer --all-features --all-targets -- -D warnings
	cargo clippy --locked --package outflow-consumer --no-default-features --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --package outflow-producer --all-features --no-deps
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --package outflow-consumer --no-default-features --no-deps
	@if command -v cargo-deny >/dev/null; then cargo deny check; \
	  else echo "cargo-deny is not installed: deny.toml is not checked"; fi

# Postgres and Redis, installed when missing. The demo and the tests start private ones; no service is needed.
servers:
	@scripts/install-servers.sh

# The servers, and what else the tests run. The tests install the Python packages themselves.
tools:
	@scripts/install-servers.sh tools
