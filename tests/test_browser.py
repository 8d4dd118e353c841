"""The browser opens a page; no asyncio tests stand in this file, see `browser` in tests/conftest.py."""

from typing import Any

import pytest


@pytest.mark.browser
def test_a_page_opens_in_the_browser(page: Any) -> None:
    page.set_content("<title>Mainstem</title>")
    assert page.title() == "Mainstem"
