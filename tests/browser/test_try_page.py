"""The page of an endpoint in a real browser, as a person uses it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

import servery
from tests.browser.chromium import launch
from tests.servers import Server, serving

HOSTILE = "</textarea><script>document.title = 'taken over'</script><img src=x onerror=alert(1)>"
WAIT_MS = 30_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("browser")
    frame = pd.DataFrame({"size": [10.0, 20.0], HOSTILE: ["it's", None]})
    servery.save_model(lambda data: data["size"] * 2, folder / "price", input_example=frame, requirements=["pandas"])
    with serving(folder / "price", folder / "home") as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        made = launch(playwright)
        yield made
        made.close()


class Visit:
    """A page in the browser, with all that it complained of."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.asked: list[str] = []
        page.set_default_timeout(WAIT_MS)
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", lambda dialog: self.complaints.append(f"a dialog: {dialog.message}"))
        page.on("request", lambda request: self.asked.append(f"{request.method} {request.url}"))


@pytest.fixture(params=["light", "dark"])
def visit(server: Server, browser: Browser, request: pytest.FixtureRequest) -> Iterator[Visit]:
    """A phone's screen, so that what does not fit is seen."""
    page = browser.new_page(viewport={"width": 390, "height": 800}, color_scheme=request.param)
    made = Visit(page)
    page.goto(server.url)
    yield made
    page.close()


def answer_of(visit: Visit) -> str:
    visit.page.wait_for_selector("#answer:not([hidden])")
    return visit.page.inner_text("#answer")


def test_a_press_of_the_button_shows_the_prediction_of_the_example(server: Server, visit: Visit) -> None:
    assert visit.page.is_visible("td:text-is('size')")
    assert json.loads(visit.page.input_value("#body"))["dataframe_split"]["columns"] == ["size", HOSTILE]
    visit.page.click("#send")
    assert json.loads(answer_of(visit)) == {"predictions": [{"size": 20.0}, {"size": 40.0}]}
    outcome = visit.page.inner_text("#outcome")
    assert "200 OK" in outcome
    assert "version price/1" in outcome
    assert visit.asked == [f"GET {server.url}/", f"POST {server.url}/endpoints/price/invocations"]
    assert visit.complaints == []


def test_a_refusal_is_shown_with_its_sentence(visit: Visit) -> None:
    visit.page.fill("#body", '{"dataframe_records": [{}]}')
    visit.page.click("#send")
    assert "Column" in answer_of(visit)
    assert visit.page.inner_text("#outcome").startswith("400 Bad Request")


def test_names_of_a_model_are_text_and_never_run(visit: Visit) -> None:
    assert visit.page.is_visible("td:has-text('onerror=alert(1)')")
    assert visit.page.title() == "price"
    assert visit.page.query_selector("img") is None
    assert visit.complaints == []


def test_a_script_that_got_into_the_page_would_be_stopped_by_the_policy(visit: Visit) -> None:
    visit.page.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), {text: 'document.title = 1'}))"
    )
    assert visit.page.title() == "price"
    assert any("Content Security Policy" in complaint for complaint in visit.complaints)


def test_the_page_is_used_by_keyboard_alone(visit: Visit) -> None:
    visit.page.focus("#body")
    visit.page.keyboard.press("Tab")
    assert visit.page.evaluate("document.activeElement.id") == "send"
    visit.page.keyboard.press("Enter")
    assert "predictions" in answer_of(visit)


def test_nothing_is_wider_than_a_phone(visit: Visit) -> None:
    visit.page.click("#send")
    answer_of(visit)
    assert visit.page.evaluate("document.documentElement.scrollWidth") == 390


@pytest.mark.parametrize("language", ["curl", "python"])
def test_the_command_that_is_shown_asks_the_same(visit: Visit, language: str, tmp_path: Path) -> None:
    shown = tmp_path / "shown"
    shown.write_text(visit.page.inner_text(f"#{language}"))
    interpreter = ["bash"] if language == "curl" else [sys.executable]
    ran = subprocess.run([*interpreter, shown], capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(ran.stdout.replace("'", '"')) == {"predictions": [{"size": 20.0}, {"size": 40.0}]}
