"""Follows the links between the pages of a built book; prints those that lead nowhere, and then exits with 1."""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# Pages that repeat others, from another folder.
REPEATED = {"print.html", "404.html", "toc.html"}


class Page(HTMLParser):
    def __init__(self, file):
        super().__init__()
        self.ids, self.links = set(), []
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.ids.add(attrs.get("id"))
        self.links += [attrs[name] for name in ("href", "src") if attrs.get(name)]


def broken(pages, file, link):
    url = urlsplit(link)
    if url.scheme:
        # A link for rustdoc (`crate::Table`) looks like a scheme too.
        return url.scheme not in ("https", "mailto")
    target = (file.parent / unquote(url.path)).resolve() if url.path else file
    if not target.exists():
        return True
    return bool(url.fragment) and target in pages and unquote(url.fragment) not in pages[target].ids


def main(book):
    files = [file.resolve() for file in Path(book).rglob("*.html") if file.name not in REPEATED]
    pages = {file: Page(file) for file in files}
    wrong = [(file, link) for file in files for link in pages[file].links if broken(pages, file, link)]
    for file, link in wrong:
        print(f"{file.relative_to(Path(book).resolve())}: {link} leads nowhere", file=sys.stderr)
    print(f"{len(pages)} pages, {len(wrong)} broken links")
    return 1 if wrong or not pages else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
