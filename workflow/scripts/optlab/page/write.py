"""The page as text: the template, filled with words, packed results, pictures and BokehJS."""

import html
import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from bokeh.document import Document
from bokeh.resources import Resources
from markupsafe import Markup

from optlab.data import known
from optlab.figures import plan, words
from optlab.page import answers, cards, plots, store
from optlab.page.wording import TERMS, seconds
from optlab.runs import record
from optlab.study.run import Run
from optlab.values import counted

BROWSER = Path(__file__).parent / "browser"
# The parts of the page's script, in their order.
SCRIPTS = (
    *("words", "colours", "live", "filter", "parallel", "pairs", "runs", "searches", "scaling"),
    "start",
)
MARKS = {
    cards.GOOD: "●",
    cards.ASK: "?",
    cards.BAD: "▼",
    cards.SAME: "=",
    cards.PLAIN: "–",
}


def page(
    study: Mapping[str, Any],
    tables: cards.Tables,
    runs: Sequence[Run],
    live: Mapping[str, Any] | None = None,
    missing: Mapping[str, str] | None = None,
) -> str:
    """The page of a study.

    Args:
        study: resolved.
        tables: the tables of the study as `written.read` gives them, or of what is finished of it.
        runs: those of the table ``runs``, in its order.
        live: of a study that is running, ``share`` and ``text`` of its progress.
        missing: how much there is of the exercises that have not ended, in words.
    """
    told = answers.cards(study, tables, runs, missing or {})
    records = [record.read(run.folder) for run in runs]
    found, curves = store.store(study, tables, runs, records)
    claims = tables.get("claims")
    return _template().render(
        name=words.plain(study["study"]),
        facts=facts(runs, records),
        sections=_sections(found, claims),
        cards=told,
        marks=MARKS,
        live=live,
        notes=[words.plain(note) for note in known.notes(study)],
        open_pairs=any(line.kind == cards.ASK for card in told for line in card.lines),
        problems={one["key"] for one in found["problems"]},
        bands=found["bands"],
        scaling=found["scaling"],
        has_trials=bool(found["trials"]),
        claims=_claims(study, claims),
        tables=sorted(tables),
        pictures=_pictures(study),
        **_parts(found, curves),
    )


def _parts(found: Mapping[str, Any], curves: bytes) -> dict[str, Markup]:
    """The parts of the page that are no words: styles, scripts, and what these need."""
    shown = plots.figures(found["kinds"], bool(found["scaling"]), bool(found["trials"]))
    parts = {
        "css": _text("page.css"),
        "script": "\n".join(_text(f"{name}.js") for name in SCRIPTS),
        "bokeh": store.packed(_bokeh().encode()),
        "documents": _documents(shown),
        "store": store.packed(store.text(found)),
        "curves": store.packed(curves),
    }
    return {name: Markup(text) for name, text in parts.items()}


def facts(runs: Sequence[Run], records: Sequence[Mapping[str, Any]]) -> list[str]:
    """How many runs, when, on what machine, and how long they took."""
    if not runs:
        return []
    times = [datetime.fromisoformat(one["finished"]) for one in records if "finished" in one]
    machines = dict.fromkeys(_machine(one) for one in records)
    versions = dict.fromkeys(one.get("versions", {}).get("torch", "") for one in records)
    spent = sum(one.get("wall", {}).get("total", 0.0) for one in records)
    most = max(run.seeds for run in runs)
    ended = [f"finished {max(times).astimezone(UTC):%Y-%m-%d %H:%M} UTC"] if times else []
    return [
        f"{counted(len(runs), 'run')} of up to {counted(most, 'seed')}",
        *ended,
        *filter(None, machines),
        *(f"PyTorch {one}" for one in versions if one),
        f"{seconds(spent)} of computing",
    ]


def _machine(found: Mapping[str, Any]) -> str:
    hardware = found.get("hardware", {})
    name = hardware.get("gpu") or hardware.get("cpu", "")
    return f"{name}, {counted(hardware['cores'], 'core')}" if "cores" in hardware else str(name)


def _sections(found: Mapping[str, Any], claims: pd.DataFrame | None) -> list[tuple[str, str]]:
    every = [
        ("answers", "Answers", True),
        ("reading", "How to read this", True),
        ("runs", "Runs", bool(found["problems"])),
        ("verdicts", "Every pair", bool(found["pairs"])),
        ("scaling", "Scaling", bool(found["scaling"])),
        ("search", "Searches", bool(found["trials"])),
        ("claims", "Claims", claims is not None and len(claims) > 0),
        ("files", "Files", True),
    ]
    return [(anchor, label) for anchor, label, there in every if there]


def _claims(study: Mapping[str, Any], claims: pd.DataFrame | None) -> list[Any]:
    """The claims of each exercise with their kind."""
    if claims is None or not len(claims):
        return []
    texts = claims.astype(object).where(claims.notna(), "")
    return [
        (
            cards.title(study, name),
            [
                {
                    **{key: words.plain(str(value)) for key, value in row.items()},
                    "kind": answers.claim_kind(row["verdict"]),
                }
                for row in group.to_dict("records")
            ],
        )
        for name, group in texts.groupby("exercise", sort=False)
    ]


def _pictures(study: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """The SVG files of each exercise."""
    found = [
        (
            cards.title(study, name),
            [(one.name, f"figures/{name}/{one.name}.svg") for one in plan.pictures(study, name)],
        )
        for name in study["exercises"]
    ]
    whole = [(one.name, f"figures/{one.name}.svg") for one in plan.of_study(study)]
    return [*found, *([("All exercises", whole)] if whole else [])]


# -- the template ------------------------------------------------------------------------------


def _text(name: str) -> str:
    return (BROWSER / name).read_text(encoding="utf-8")


def _template() -> jinja2.Template:
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(terms=explained, counted=counted, seconds=seconds)
    return environment.from_string(_text("page.html"))


def _bokeh() -> str:
    """BokehJS, without its widgets and tables."""
    return "\n".join(Resources(mode="inline", components=["bokeh"]).js_raw)


def _documents(shown: Sequence[Any]) -> str:
    """The figures as JSON, and in which places of the page they are shown."""
    document = Document(title="")
    for one in shown:
        document.add_root(one)
    roots = {one.id: one.name for one in shown}
    items = [{"docid": "figures", "roots": roots, "root_ids": list(roots)}]
    content = {"documents": {"figures": document.to_json(deferred=False)}, "items": items}
    text = json.dumps(content, separators=(",", ":"))
    return text.replace("</", "<\\/")


_TERM = re.compile(r"\b(" + "|".join(sorted(TERMS, key=len, reverse=True)) + r")\b", re.I)


def explained(text: str) -> Markup:
    """A text as HTML, with what its terms mean beside each of them."""

    def tip(match: re.Match[str]) -> str:
        meaning = html.escape(TERMS[match.group().lower()])
        return (
            f'<span class="term" tabindex="0">{match.group()}'
            f'<span class="tip" role="tooltip">{meaning}</span></span>'
        )

    return Markup(_TERM.sub(tip, html.escape(text)))
