"""What the site needs beyond Markdown: pages from elsewhere in the project, pictures that follow the theme, plain fences.

mkdocs calls the functions named `on_…`. Pages stay readable where they are: everything here is about the built site.
"""

from __future__ import annotations

import posixpath
import re
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
ELSEWHERE = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "README.md": "index.md",
    "examples/README.md": "examples/index.md",
}
"""Where pages that are not in docs/ are on the site; examples, `examples/x.py`, have a page each, `examples/x.md`."""

FENCE = re.compile(r"^( *(?:`{3,}|~{3,}))(\w+) (.+)$", re.MULTILINE)
LINK = re.compile(r"(!?\[[^\]]*\]\()([^)\s]+)\)")
FOREIGN = re.compile(r"""<(?:script|link|img|iframe)\b[^>]*(?:src|href)=["']((?:https?:)?//[^"']*)""")
PICTURE = re.compile(r"!\[([^\]]*)\]\(([^)\s]*pictures/[\w-]+\.svg)\)")


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that are written elsewhere."""
    structure = import_module("mkdocs.structure.files")  # which only those have who build the site
    pages = {
        ELSEWHERE[name]: (ROOT / name).read_text(encoding="utf-8")
        for name in ELSEWHERE
        if name != "README.md"
    }
    pages |= {f"examples/{path.stem}.md": example(path) for path in sorted(ROOT.glob("examples/*.py"))}
    for uri, text in pages.items():
        files.append(structure.File.generated(config, uri, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Make a page of the project a page of the site; search finds what explains before what lists."""
    if page.file.src_uri.startswith(("manual/", "cookbook/")):
        page.meta.setdefault("search", {"boost": 3})
    return site_markdown(markdown, page.file.src_uri)


def on_post_page(output: str, page: Any, **_: Any) -> None:
    """Refuse a page that fetches anything from elsewhere."""
    found = FOREIGN.search(output)
    if found:
        raise RuntimeError(f"{page.file.src_uri} would load {found[1]}: the site keeps to itself")


def site_markdown(text: str, uri: str) -> str:
    """A page for the site: pictures inlined, links to where things are there, and languages without further words."""
    if uri == "examples/index.md":
        text = re.sub(r"^\| `(\w+)\.py`", r"| [`\1.py`](\1.py)", text, flags=re.MULTILINE)
    text = PICTURE.sub(lambda found: inlined(found[1], found[2], uri), text)
    text = LINK.sub(lambda found: f"{found[1]}{site_link(found[2], uri)})", text)
    return FENCE.sub(fence, text)


def fence(found: re.Match[str]) -> str:
    """The head of a block: its language, and whether it goes on from the one above, which extra.css tells the reader."""
    ticks, language, words = found.groups()
    return f"{ticks}{{.{language} .continues}}" if "continues" in words.split() else f"{ticks}{language}"


def source_of(uri: str) -> str:
    """Where in the project a page of the site is written."""
    back = {page: name for name, page in ELSEWHERE.items() if name != "README.md"}
    return back.get(uri) or (uri if uri.startswith("examples/") else f"docs/{uri}")


def site_link(link: str, uri: str) -> str:
    """A link of a page as it is on the site."""
    target, hash_, anchor = link.partition("#")
    if not target or "://" in target or target.startswith("mailto:"):
        return link
    path = posixpath.normpath(posixpath.join(posixpath.dirname(source_of(uri)), target))
    if path in {"examples", "docs"}:
        path = f"{path}/README.md" if path == "examples" else "README.md"
    if path.startswith("docs/"):
        there = path.removeprefix("docs/")
    elif path in ELSEWHERE:
        there = ELSEWHERE[path]
    elif re.fullmatch(r"examples/\w+\.py", path):
        there = f"{path.removesuffix('.py')}.md"
    else:
        return link
    return posixpath.relpath(there, posixpath.dirname(uri) or ".") + hash_ + anchor


def inlined(says: str, link: str, uri: str) -> str:
    """A picture as part of the page, so that it takes on the colours of the theme."""
    path = ROOT / posixpath.normpath(posixpath.join(posixpath.dirname(source_of(uri)), link))
    drawn = path.read_text(encoding="utf-8")
    # One picture's style does for all; the theme's comes from extra.css.
    drawn = re.sub(r"<title>.*?</title>\n", f"<title>{says}</title>", drawn).replace("\n", "")
    return f'<figure class="picture">{drawn}</figure>'


def example(path: Path) -> str:
    """An example as a page: what it says of itself, and its source."""
    source = path.read_text(encoding="utf-8")
    return f"# {path.name}\n\n```python\n{source}```\n"
