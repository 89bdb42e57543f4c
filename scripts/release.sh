#!/usr/bin/env bash
# Builds what a release consists of, in target/release-files/VERSION: for each target a tarball and,
# for Linux on PCs and ARM, a Debian package; an SBOM; SHA256SUMS. docs/releasing.md has the steps
# around it.
#
#   TARGETS="…"           only these; one that cannot be built is then an error, and otherwise said
#   PROFILE=dev           another profile than dist, to try the script out
#   SOURCE_DATE_EPOCH=…   the date of all files; the last commit's if it is not set
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD

# The static binaries run on every Linux; the one for glibc is for the machine that builds.
host=$(rustc -vV | sed -n 's/^host: //p')
read -ra wanted <<<"${TARGETS:-x86_64-unknown-linux-musl aarch64-unknown-linux-musl $host}"
profile=${PROFILE:-dist}
# Their versions, so that the same commit makes the same files.
cargo_deb=3.8.0
cargo_cyclonedx=0.5.9

version=$(cargo pkgid --locked --package outflow | sed 's/.*[#@]//')
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
target_dir=${CARGO_TARGET_DIR:-$root/target}
export CARGO_TARGET_DIR=$target_dir
out=$target_dir/release-files/$version
work=$target_dir/release-work
tools=$target_dir/tools
export PATH=$tools/bin:$PATH
# cargo puts the programs of a profile in a folder of this name.
folder=$profile
if [[ $profile == dev ]]; then folder=debug; fi

say() { printf 'release: %s\n' "$*" >&2; }
fail() {
  say "$*"
  exit 1
}

if [[ -n $(git status --porcelain) ]]; then
  say "there are changes that are not committed: these files are for a trial only"
fi

# No path of this machine gets into a binary: neither where the sources are, nor the crates, nor the
# standard library. Of C sources too, which ring has.
sysroot=$(rustc --print sysroot)
cargo_home=${CARGO_HOME:-$HOME/.cargo}
maps=("$root=/outflow" "$cargo_home=/cargo" "$sysroot/lib/rustlib/src/rust=/rust")
rust_flags=() c_flags=()
for map in "${maps[@]}"; do
  rust_flags+=("--remap-path-prefix=$map")
  c_flags+=("-ffile-prefix-map=$map")
done

# A tool in a pinned version, built once.
tool() {
  local name=$1 pinned=$2
  if ! grep -qsF "\"$name $pinned " "$tools/.crates.toml"; then
    say "building $name $pinned"
    cargo install --quiet --locked --root "$tools" --version "$pinned" "$name"
  fi
}

# Why a target cannot be built here; nothing if it can.
obstacle() {
  local target=$1 libdir
  libdir=$(rustc --print target-libdir --target "$target" 2>/dev/null) || {
    echo "rustc does not know this target"
    return
  }
  if ! compgen -G "$libdir/libstd-*.rlib" >/dev/null; then
    echo "no standard library for it; install it with: rustup target add $target"
  elif [[ $target != "$host" ]] && ! command -v cargo-zigbuild >/dev/null && [[ -z $(compiler "$target") ]]; then
    echo "no C compiler and linker for it; install them with: pip install cargo-zigbuild ziglang"
  fi
}

# The C compiler of a target other than the host, if it is installed.
compiler() { command -v "${1%%-*}-linux-${1##*-}-gcc" || true; }

build() {
  local target=$1 command=build upper gcc
  upper=$(tr 'a-z-' 'A-Z_' <<<"$target")
  if [[ $target != "$host" ]]; then
    if command -v cargo-zigbuild >/dev/null; then
      command=zigbuild
    else
      gcc=$(compiler "$target")
      export "CC_${target//-/_}=$gcc"
      # For this machine's own architecture the usual linker serves, with what rustc brings of musl:
      # a binary that musl-tools' gcc links ends with a segmentation fault.
      if [[ ${target%%-*} != "${host%%-*}" ]]; then
        export "CARGO_TARGET_${upper}_LINKER=$gcc"
      fi
    fi
  fi
  # Zig's own C sources would bring the path of this build along, in what only a debugger reads.
  export "CARGO_PROFILE_${profile^^}_STRIP=debuginfo"
  CARGO_ENCODED_RUSTFLAGS=$(IFS=$'\x1f' && echo "${rust_flags[*]}") \
    CFLAGS="${c_flags[*]}" \
    cargo "$command" --locked --profile "$profile" --target "$target" --package outflow --bin outflow
}

# What a binary must be: without paths of this machine, and static if it is for musl.
examine() {
  local target=$1 binary=$2 path
  for path in "$root" "$cargo_home" "$sysroot" "$HOME/"; do
    if [[ $path != / ]] && grep -qaF -- "$path" "$binary"; then
      fail "$binary has the path $path in it"
    fi
  done
  if [[ $target == *-musl ]] && readelf --dynamic "$binary" | grep -q NEEDED; then
    fail "$binary needs shared libraries"
  fi
}

# The manual pages and completions, which are the same for each target: made by one that runs here.
describe() {
  local binary=$1
  mkdir -p "$work/man" "$work/completions"
  "$binary" man --dir "$work/man"
  "$binary" completions bash >"$work/completions/outflow.bash"
  "$binary" completions zsh >"$work/completions/_outflow"
  "$binary" completions fish >"$work/completions/outflow.fish"
}

pack() {
  local target=$1 binary=$2 name=outflow-$version-$1
  local dir=$work/$name
  mkdir -p "$dir/bin" "$dir/share" "$dir/systemd"
  install -m 755 "$binary" "$dir/bin/outflow"
  cp -r "$work/man" "$work/completions" "$dir/share/"
  cp LICENSE-MIT LICENSE-APACHE README.md CHANGELOG.md config.toml.example "$dir/"
  cp -r deploy/sql deploy/redis "$dir/"
  cp deploy/systemd/outflow.service deploy/debian/config.toml "$dir/systemd/"
  chmod -R u=rwX,go=rX "$dir"
  # The same files make the same archive, whoever packs them, and when.
  tar --create --sort=name --format=ustar --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 \
    --numeric-owner --directory "$work" "$name" | gzip --no-name --best >"$out/$name.tar.gz"
}

debian() {
  local target=$1 architecture
  case $target in
    x86_64-*) architecture=amd64 ;;
    aarch64-*) architecture=arm64 ;;
    *) return ;;
  esac
  # Where it is looked for by Cargo.toml. Of two for one architecture the static one comes first, and
  # needs no particular glibc.
  if [[ -e $out/outflow_${version}_$architecture.deb ]]; then return; fi
  rm -rf target/man
  mkdir -p target
  cp -r "$work/man" target/man
  # It has no debug information already, and this machine's strip knows no other architecture.
  cargo deb --quiet --no-build --no-strip --profile "$profile" --target "$target" \
    --output "$out/outflow_${version}_$architecture.deb"
}

# Which crates are in it. The tool writes one beside the manifest of each member.
sbom() {
  local name=outflow-$version.cdx found
  cargo cyclonedx --quiet --format json --spec-version 1.5 --no-build-deps --override-filename "$name"
  # It names our own crates by where they lie.
  sed "s|$root|/outflow|g" "$name.json" >"$out/$name.json"
  rm "$name.json"
  while IFS= read -r found; do rm "$found"; done < <(find crates -name "$name.json")
}

rm -rf "$out" "$work"
mkdir -p "$out" "$work"
tool cargo-deb "$cargo_deb"
tool cargo-cyclonedx "$cargo_cyclonedx"

built=() missing=()
for target in "${wanted[@]}"; do
  why=$(obstacle "$target")
  if [[ -n $why ]]; then
    say "NOT BUILT: $target: $why"
    missing+=("$target")
    continue
  fi
  say "building $target"
  build "$target"
  examine "$target" "$target_dir/$target/$folder/outflow"
  built+=("$target")
done
((${#built[@]} > 0)) || fail "nothing could be built"

for target in "${built[@]}"; do
  if "$target_dir/$target/$folder/outflow" version >/dev/null 2>&1; then
    describe "$target_dir/$target/$folder/outflow"
    break
  fi
done
[[ -d $work/man ]] || fail "none of the binaries runs here, so there are no manual pages; add $host to TARGETS"

for target in "${built[@]}"; do
  pack "$target" "$target_dir/$target/$folder/outflow"
  debian "$target"
done
sbom
(cd "$out" && sha256sum -- *.tar.gz *.deb *.json >SHA256SUMS)

say "files in $out:"
(cd "$out" && du --bytes -- *) >&2
for target in "${missing[@]}"; do say "NOT BUILT: $target: $(obstacle "$target")"; done
if [[ -n ${TARGETS:-} && ${#missing[@]} -gt 0 ]]; then exit 1; fi
