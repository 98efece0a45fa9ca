# Development recipes of Plumbline, and its four pipelines. `./x RECIPE` does the same and installs what is missing.

import 'pipelines/common.just'
import 'pipelines/bootstrap.just'
import 'pipelines/update.just'
import 'pipelines/backup.just'

# Everything is built static for the kind of machine it is built on: what is tested is what ships to hosts.
export CARGO_BUILD_TARGET := env("CARGO_BUILD_TARGET", arch() + "-unknown-linux-musl")

built := env("CARGO_TARGET_DIR", justfile_directory() / "target") / CARGO_BUILD_TARGET
tools := "cfg-render host-provision secret-encrypt dns-sync pg-ensure backup-plan health-probe"

# List the recipes
[default]
[private]
help:
    @just --justfile {{ justfile() }} --list --unsorted

# Build all tools
[group('develop')]
build:
    cargo build --workspace --bins

# Build all tools as they ship: optimised, stripped, in target/<triple>/dist
[group('develop')]
dist:
    cargo build --workspace --bins --profile dist

# Run every test of the fast tier and print how many there were
[group('develop')]
test: build
    tests/run fast

# Format all code and just files
[group('develop')]
fmt:
    cargo fmt --all
    for file in justfile pipelines/*.just; do just --fmt --justfile "$file"; done

# Check the format, the lints, the shell scripts, the dependencies and the sizes
[group('develop')]
check:
    tests/check

# What continuous integration runs; `ci full` adds the slow tier
[group('develop')]
ci tier="fast":
    tests/ci {{ tier }}

# Run the conformance cases, against a replacement with --bin NAME=PATH
[group('develop')]
conform *arguments: build
    cargo run --quiet --package conformance -- --built "{{ built }}/debug" {{ arguments }}

# Write the JSON Schemas anew from the types
[group('develop')]
schemas:
    UPDATE_SCHEMAS=1 cargo test --quiet --package contract --test schemas
    UPDATE_SCHEMAS=1 cargo test --quiet --package cfg-render --test it schema

# Install the real programs that tests compare with (pinned; `all` also those built from source)
[group('develop')]
peers tier="packages":
    tests/peers {{ tier }}

# Real Debian hosts on this machine: lab up 2, lab ssh 1, lab down
[group('try')]
lab *arguments:
    tests/lab/lab {{ arguments }}

# See the whole bootstrap pipeline work: on a lab host as root, else with --sandbox
[group('try')]
demo *arguments: build
    tests/pipelines/demo {{ arguments }}

# Time us and the peer on the same work (areas: the files in tests/bench)
[group('develop')]
bench area:
    tests/bench/{{ area }}

# Fuzz every parser that has a target in tests/fuzz, each for some seconds
[group('develop')]
fuzz seconds="60" *targets:
    tests/fuzz/run {{ seconds }} {{ targets }}

# Size and start-up time of each dist binary
[group('develop')]
sizes: dist
    tests/bench/start
