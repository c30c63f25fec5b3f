#!/usr/bin/env bash
# Unpacks Debian's qemu and Python 3.13 for arm64 into a folder and installs nothing. Debian alone has both as packages.
set -euo pipefail
folder=$1
release=trixie # Python 3.13 of the deployed runtime
python=(
  python3.13-minimal libpython3.13-minimal libpython3.13-stdlib
  libc6 libgcc-s1 libstdc++6 zlib1g libexpat1 libssl3t64 libzstd1 libffi8 libbz2-1.0 liblzma5 libuuid1
)
apt=$(mktemp -d)
trap 'rm -rf "$apt"' EXIT
mkdir -p "$apt"/{state/lists/partial,cache/archives/partial,debs}
touch "$apt/status"
# The mirror that this machine uses already.
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' | head -1)
here=$(dpkg --print-architecture)
echo "deb [arch=arm64,$here signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $release main" >"$apt/sources"
cat >"$apt/conf" <<EOF
Dir::State "$apt/state";
Dir::State::status "$apt/status";
Dir::Cache "$apt/cache";
Dir::Etc::sourcelist "$apt/sources";
Dir::Etc::sourceparts "-";
APT::Architecture "arm64";
APT::Architectures { "arm64"; "$here"; };
APT::Sandbox::User "";
Acquire::Languages "none";
EOF
export APT_CONFIG=$apt/conf
apt-get update -qq
(cd "$apt/debs" && apt-get download -qq "qemu-user:$here" "${python[@]}")
rm -rf "$folder"
mkdir -p "$folder"
for package in "$apt"/debs/*.deb; do dpkg-deb --extract "$package" "$folder"; done
# Where programs for arm64 look for their loader.
ln -s usr/lib "$folder/lib"
find "$folder/usr/bin" -type f ! -name qemu-aarch64 ! -name python3.13 -delete
