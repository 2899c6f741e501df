"""What the pages of the documentation do in a browser."""

from __future__ import annotations

import pathlib

from tests.browser import answers

STATIC = pathlib.Path(__file__).parents[1] / "docs" / "_static"
ROWS = [
    ("PyTorch", "StepLR", "step_decay"),
    ("PyTorch", "MultiStepLR", "piecewise_constant"),
    ("PyTorch", "Adafactor", "tunable(optax.adafactor)"),
    ("Optax", "optax.adafactor", "tunable(optax.adafactor)"),
    ("Keras", "Adam", "adam"),
]


def test_a_table_is_searched(tmp_path: pathlib.Path) -> None:
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in ROWS)
    page = (
        f"<!doctype html><html><body><table class='searchable'><tbody>{body}</tbody></table>"
        f"<script>{(STATIC / 'tables.js').read_text()}</script></body></html>"
    )
    script = """
        document.dispatchEvent(new Event("DOMContentLoaded"));
        const field = document.querySelector("input[type=search]");
        const shown = () => [...document.querySelectorAll("tbody tr")]
            .filter((row) => !row.hidden).map((row) => row.cells[1].textContent);
        const type = (words) => {
            field.value = words;
            field.dispatchEvent(new Event("input"));
            return [shown(), document.querySelector("output").textContent];
        };
        const press = (name) => [...document.querySelectorAll("button")]
            .find((button) => button.textContent === name).click();
        const out = [type(""), type("steplr"), type("ADAFACTOR optax"), type("nothing")];
        press("Optax");
        out.push(type("adafactor"));
        press("all");
        return [...out, type("")];
    """
    everything, steps, both, nothing, of_optax, again = answers(page, script, tmp_path)
    names = [row[1] for row in ROWS]
    assert everything == again == [names, "5 of 5 rows"]
    assert steps == [["StepLR", "MultiStepLR"], "2 of 5 rows"]
    assert both[0] == ["Adafactor", "optax.adafactor"]
    assert nothing == [[], "No row has these words."]
    assert of_optax == [["optax.adafactor"], "1 of 5 rows"]


def test_a_figure_that_is_shown_small_leads_to_itself(tmp_path: pathlib.Path) -> None:
    page = (
        "<!doctype html><html><body><article><img><img><img></article>"
        f"<script>{(STATIC / 'figures.js').read_text()}</script></body></html>"
    )
    script = """
        const images = [...document.querySelectorAll("img")];
        const drawn = [[900, true], [200, true], [900, false]];
        images.forEach((image, i) => {
            const has = { naturalWidth: drawn[i][0], clientWidth: 300, complete: drawn[i][1] };
            for (const [name, value] of Object.entries(has))
                Object.defineProperty(image, name, { value });
        });
        document.dispatchEvent(new Event("DOMContentLoaded"));
        const led = () => images.map((image) => image.closest("a") !== null);
        const before = led();
        images[2].dispatchEvent(new Event("load"));
        return [before, led()];
    """
    before, after = answers(page, script, tmp_path)
    assert before == [True, False, False]
    assert after == [True, False, True]
