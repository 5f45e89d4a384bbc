"""`jaxreg list`: what the cache holds, and which backbones and causes there are."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import humanize
import tyro

from jaxreg import cli
from jaxreg.arguments import POSITIONAL, parse
from jaxreg.setting_field import setting

if TYPE_CHECKING:
    from jaxreg.usage import Usage

Kind = Literal["datasets", "feature-sets", "backbones", "causes"]
Row = dict[str, Any]


@dataclass(frozen=True)
class ListArguments:
    """List the datasets or feature sets of the cache, the backbones, or the causes of findings.

    Example: jaxreg list datasets
    """

    kind: Kind = setting(tyro.MISSING, POSITIONAL, "datasets, feature-sets, backbones or causes")
    cache: str = setting("cache", "Data", "folder or bucket (s3://…) of datasets and features")
    ckpts: str = setting("ckpts", "Data", "folder of runs; the table shows what they use")
    json: bool = setting(False, "Output", "print one JSON object instead of the table")


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, read, print; returns the exit code."""
    own, _ = parse("list", ListArguments, argv=argv)
    from jaxreg.cache.store import Cache
    from jaxreg.usage import Usage

    cache = Cache(own.cache)
    usage = Usage(cache, Path(own.ckpts))
    if own.kind in ("datasets", "feature-sets"):
        cache.check_there()
    rows = _LISTS[own.kind](usage)
    if own.json:
        cli.print_json({own.kind: rows})
        return 0
    if not rows:
        cli.say(f"no {own.kind} in {cache.root}")
        return 0
    if own.kind == "backbones":
        cli.say("an ONNX file is a backbone too: --backbone onnx:FILE (docs/onnx.md)")
        cli.say("and a KerasHub preset: --backbone keras_hub:NAME or :FOLDER (docs/keras-hub.md)")
    cli.print_table(list(rows[0]), [[_text(*cell) for cell in row.items()] for row in rows])
    return 0


def _datasets(usage: "Usage") -> list[Row]:
    from jaxreg.cache.datasets import dataset_key, dataset_names

    cache = usage.cache
    for name in dataset_names(cache):
        if name not in usage.datasets:
            cli.say(f"{name} is left out: {cache.store.shown(dataset_key(name))} is damaged")
    return [
        {
            "dataset": dataset.name,
            "rows": len(dataset),
            "bytes": cache.store.size(dataset_key(dataset.name)),
            "targets": list(dataset.targets),
            "numbers": dataset.numeric_columns,
            "columns": [column.name for column in dataset.columns],
            "feature_set": dataset.feature_set,
            "runs": usage.runs_on(dataset=dataset.name),
        }
        for dataset in usage.datasets.values()
    ]


def _feature_sets(usage: "Usage") -> list[Row]:
    from jaxreg.cache.parts import part_entries
    from jaxreg.usage import size_of

    cache, rows = usage.cache, []
    for name in cache.feature_sets():
        for column in cache.columns(name):
            images = cache.digests(name, column)
            rows.append({
                "feature_set": name,
                "column": column.name,
                "images": len(images),
                "dtype": cache.dtype(name, column),
                "bytes": size_of(part_entries(cache.store, cache.folder(name, column))),
                "datasets": usage.datasets_with(name, images),
                "runs": usage.runs_with(name, column),
            })  # fmt: skip
    return rows


def _backbones(_: object) -> list[Row]:
    from jaxreg.backbone.registry import BACKBONES

    names = ("size", "smallest", "last_layer")
    return [
        {"backbone": name, **{n: getattr(backbone, n) for n in names}}
        for name, backbone in BACKBONES.items()
    ]


def _causes(_: object) -> list[Row]:
    from jaxreg.verdict.catalogue import EVERY_CAUSE

    names = ("code", "severity", "remedy")
    return [{n: getattr(cause, n) for n in names} for cause in EVERY_CAUSE]


_LISTS: dict[str, Callable[["Usage"], list[Row]]] = {
    "datasets": _datasets,
    "feature-sets": _feature_sets,
    "backbones": _backbones,
    "causes": _causes,
}


def _text(name: str, value: Any) -> str:
    if name == "bytes":
        return humanize.naturalsize(value)
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


if __name__ == "__main__":
    cli.run_command(main)
