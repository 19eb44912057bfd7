#!/usr/bin/env bash
# The book, into docs/book, with every link inside it followed. Needs mdbook (see .github/workflows/docs.yml) and python3.
set -euo pipefail
cd "$(dirname "$0")/../.."
"${MDBOOK:-mdbook}" build docs
python3 scripts/book/links.py docs/book
