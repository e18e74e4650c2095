"""Ten readers find their answers: ``python .ci/readers.py build/docs``.

Each starts on the manual's first page and follows at most two links by their words, as
they stand in the text and not beside it. The answer must be under the heading where the
last link leads, or on its page if it leads to none.
"""

from __future__ import annotations

import sys
from pathlib import Path
from urllib.parse import urlsplit

from bs4 import BeautifulSoup, Tag

#: Who asks what → the words of the links, and words of the answer.
READERS: dict[tuple[str, str], tuple[list[str], str]] = {
    ("a developer who begins", "What do I write, and in which order?"): (
        ["Tutorial"],
        "place_order",
    ),
    ("a developer whose shop is paid by webhook", "Who clicked?"): (
        ["Recipes"],
        "client_reference_id",
    ),
    ("a developer of a headless shop", "How does Django see the link?"): (
        ["REST and headless shops"],
        "post the five parameters",
    ),
    ("a marketer", "Why does Ads Manager show fewer orders than the shop?"): (
        ["Ads Manager shows less"],
        "Ads Manager probably does not show it",
    ),
    ("a support agent", "The customer came from the ad. Was the order counted?"): (
        ["What became of an order"],
        "Search for the order number in the admin",
    ),
    ("an operator at three in the morning", "Nothing is sent. What is wrong?"): (
        ["The doctor"],
        "nobody_looks",
    ),
    ("an operator without Celery", "What do I run?"): (
        ["without Celery"],
        "connectly_deliver --loop",
    ),
    ("a privacy officer", "A customer asks to be forgotten. What do we do?"): (
        ["What is stored"],
        "Forget the customer before you delete the user",
    ),
    ("a security reviewer", "Where does the API key go?"): (
        ["Security"],
        "The API key is in the request to Connectly and nowhere else.",
    ),
    ("a contributor", "How do I run the tests, and get a change in?"): (
        ["Contributing"],
        "Open a pull request",
    ),
}
MOST_CLICKS = 2


class Reader:
    def __init__(self, folder: Path) -> None:
        self.page = folder / "index.html"
        self.heading = ""

    def follow(self, words: str) -> None:
        """Click the link with these words, the first on the page."""
        for link in self._text().find_all("a", href=True):
            if " ".join(link.get_text().split()).lower() == words.lower():
                target = urlsplit(str(link["href"]))
                self.page = (self.page.parent / target.path).resolve()
                self.heading = target.fragment
                return
        sys.exit(f"{self.page.name} has no link {words!r}")

    def sees(self, words: str) -> bool:
        text = self._text()
        part = text.find(id=self.heading) if self.heading else text
        return isinstance(part, Tag) and words in " ".join(part.get_text().split())

    def _text(self) -> Tag:
        article = BeautifulSoup(self.page.read_text(), "html.parser").find("article")
        assert isinstance(article, Tag)
        return article


if __name__ == "__main__":
    for (who, question), (links, answer) in READERS.items():
        reader = Reader(Path(sys.argv[1]).resolve())
        assert len(links) <= MOST_CLICKS
        for words in links:
            reader.follow(words)
        if not reader.sees(answer):
            sys.exit(f"{who}: {question} {reader.page.name} does not say {answer!r}")
        print(f"{who}: {' → '.join(['index', *links])}")
