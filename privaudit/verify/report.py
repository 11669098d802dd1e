"""The check of the report: every page, table and figure, made again from the records."""

from __future__ import annotations

from collections.abc import Mapping

from privaudit.custody.folder import RunFolder
from privaudit.custody.manifest import all_files
from privaudit.report.write import render_report
from privaudit.verify.files import Subject


def check_report(subject: Subject) -> list[str]:
    """Every file of the report is what the records give, byte for byte."""
    return differing_files(subject.folder, render_report(subject.folder))


def differing_files(folder: RunFolder, again: Mapping[str, str]) -> list[str]:
    """What is wrong with ``report/``, beside what it should be: name of every file -> its text."""
    place = folder.file("report")
    present = {f"report/{name}" for name in all_files(place)} if place.is_dir() else set()
    wrong = [f"{name}: missing" for name in sorted(again.keys() - present)]
    wrong += [f"{name}: no file of the report" for name in sorted(present - again.keys())]
    wrong += [
        f"{name}: not what the records give"
        for name in sorted(present & again.keys())
        if folder.file(name).read_bytes() != again[name].encode()
    ]
    return wrong
