"""A large table → examples that come slice by slice; what holds for all slices is decided here."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from jaxreg.common.remote_file import AnyFile, RemoteFile, is_url, without_secrets
from jaxreg.common.steps import counted
from jaxreg.errors import InputError
from jaxreg.extract_config import SourceOptions
from jaxreg.sources.as_written import Columns
from jaxreg.sources.columns import bookkeeping_of, ranks, scalar_columns, without_reserved
from jaxreg.sources.found_files import FoundNames, find_names
from jaxreg.sources.image_column import LOOKED_AT, Table, find_image_column
from jaxreg.sources.naming import one_column
from jaxreg.sources.parquet import Shard, ShardedColumn
from jaxreg.sources.parquet_slices import SliceReader, row_slices
from jaxreg.sources.sliced_examples import SlicedExamples
from jaxreg.sources.sliced_rows import SlicePlan, SliceRows
from jaxreg.sources.table_survey import MOST_NAMES, Survey
from jaxreg.sources.tables import ROLES, in_words
from jaxreg.sources.text_order import text_ranks

MOST_WHOLE = 1_000_000
"""Rows: a Parquet table of more is read slice by slice."""

MOST_FIRST = 2**16
"""The first rows tell what the columns hold; so many at most, where paths are rare among them."""


def open_in_slices(
    shards: Sequence[Shard],
    path: AnyFile,
    location: str,
    options: SourceOptions,
    notes: Sequence[str],
) -> SlicedExamples:
    """The examples of a large table.

    Args:
        shards: its files, which have the same columns.
        path: the file; of several, what they are called in their folder.
        location, options: as `open_source` has them.
        notes: on the files.

    Raises:
        InputError: as `table_examples`; an order column of text has more than MOST_NAMES values;
            most of more than MOST_NAMES paths are no files.
    """
    options.refuse_all_but("a table", *ROLES, "image_root", "image_suffix")
    table = _first_rows(shards, path)
    image_column, chosen = _image_column(table, options)
    for flag, name in (
        ("--id-column", options.id_column),
        ("--order-column", options.order_column),
        ("--group-column", options.group_column),
    ):
        if name is not None:
            one_column(name, table.scalars.column_names, flag, str(path))
    plan = SlicePlan(
        path,
        tuple(shards),
        row_slices(shards),
        image_column,
        options.order_column,
        options.group_column,
    )
    _refuse_order(shards[0].schema, plan)
    if plan.encoded:
        null = table.encoded[image_column].null()
        plan = replace(plan, null=null if null.any() else None)
    survey = Survey(plan, table, options)
    reader = SliceReader(shards, plan.slices, survey.columns)
    for at, part in counted("reading the table", reader, "slices", len(plan.slices)):
        survey.add(SliceRows(plan, at, part))
    return _examples(survey, location, chosen, notes)


def _first_rows(shards: Sequence[Shard], path: AnyFile) -> Table:
    first = shards[0]
    others = [name for name in first.schema.names if name not in first.encoded]
    empty = pa.schema([first.schema.field(name) for name in others]).empty_table()
    none, dropped = scalar_columns(Columns(empty))
    names = none.values.column_names
    slices = row_slices(shards)
    reader = SliceReader(shards, slices, names)
    read = reader.read(0)
    for number in range(1, len(slices)):
        if len(read) >= MOST_FIRST or _tells(read):
            break
        read = pa.concat_tables([read, reader.read(number)])
    return Table(
        path,
        scalar_columns(Columns(read))[0],
        {name: ShardedColumn(shards, name) for name in first.encoded},
        tuple(dropped),
        {shard.path.name: shard.rows for shard in shards},
    )


def _tells(read: pa.Table) -> bool:
    """Whether the columns that may hold paths have as many values as are looked at."""
    texts = [column for column in read.columns if not pa.types.is_primitive(column.type)]
    return all(len(column) - column.null_count >= LOOKED_AT for column in texts)


def _image_column(table: Table, options: SourceOptions) -> tuple[str, str]:
    """The image column, by the first rows, and a note on it."""
    asked = options.image_column
    names = table.scalars.column_names
    if asked is not None and asked in names and pa.types.is_string(table.scalars[asked].type):
        return asked, ""  # the first rows may have no value
    return find_image_column(table, options)


def _refuse_order(schema: pa.Schema, plan: SlicePlan) -> None:
    """Raise InputError for an order column of decimals whose numbers float64 does not hold."""
    kind = None if plan.order_column is None else schema.field(plan.order_column).type
    if kind is not None and pa.types.is_decimal(kind) and kind.precision > 15:
        raise InputError(
            f"--order-column {plan.order_column} of {plan.path} holds {kind}",
            expected=f"whole numbers or times, in a table of more than {MOST_WHOLE:,} rows",
        )


def _examples(survey: Survey, location: str, chosen: str, notes: Sequence[str]) -> SlicedExamples:
    plan, table, options = survey.plan, survey.table, survey.options
    found = _found(survey)
    starts = np.cumsum([0, *survey.kept])
    plan = replace(plan, found=found, starts=starts)
    id_column = _id_column(survey)
    serving = (id_column, options.group_column, options.order_column)
    dropped = [name for name in (*table.encoded, *table.dropped) if name != plan.image_column]
    order, odd = _order(survey) if starts[-1] else (None, "")
    examples = SlicedExamples(
        plan=plan,
        columns=survey.columns,
        id_column=id_column,
        numbering=None if id_column is not None else survey.names.numbering(),
        order=order,
        written=frozenset(survey.lost),
        has_paths=survey.has_paths,
        description={
            "kind": "parquet",
            "location": location,
            **{
                name: value
                for name, value in vars(without_secrets(options)).items()
                if value is not None
            },
            "image_column": plan.image_column,
            **({"dropped_columns": dropped} if dropped else {}),
        },
        bookkeeping=_bookkeeping(survey, serving, id_column),
        left_out=sum(shard.rows for shard in plan.shards) - int(starts[-1]),
        notes=(
            *notes,
            *filter(None, [chosen, found.note, odd or survey.row_order.sentence]),
            *table.read.notes,
            *_notes_on_names(survey, (*serving, plan.image_column)),
        ),
    )
    if not len(examples):
        name, reason = next(examples.slices()).unusable[0]
        raise InputError(f"{plan.path} has no usable row; {name}: {reason}")
    return examples


def _found(survey: Survey) -> FoundNames:
    """How the paths mean files."""
    plan, options = survey.plan, survey.options
    if plan.encoded and not survey.files:
        options.refuse_all_but("encoded images", *ROLES)
    found = find_names(plan.path, survey.files, options.image_root, options.image_suffix)
    if len(survey.files) <= MOST_NAMES or isinstance(found.folder, RemoteFile):
        return found
    local = [name for name in survey.files if not is_url(name)]
    if found.as_written < sum(survey.files[name] for name in local) / 2:
        first = next(name for name in local if not found.folder.joinpath(name).is_file())
        raise InputError(
            f"most paths of {plan.path} are no files in {found.folder}, as {first!r}",
            expected=f"paths as they are, where a table has more than {MOST_NAMES:,} of them",
            remedy="--image-root with the folder that the paths are relative to",
        )
    return replace(found, used={}, note="")


def _id_column(survey: Survey) -> str | None:
    """The column of the ids; None if they are made of paths. InputError for one that cannot be."""
    name, asked = survey.id_name, survey.options.id_column
    if name is None:
        return None
    flaw = ""
    if survey.id_missing is not None:
        flaw = f"has no value in {in_words(survey.table, survey.id_missing)}"
    else:
        for first, row in survey.ids.repeats():
            both = [_name_at(survey.plan, name, one) for one in (first, row)]
            if both[0] == both[1]:
                flaw = f"holds {both[0]!r} in {in_words(survey.table, first, row)}"
                break
    if not flaw:
        return name
    if asked is None:
        return None
    raise InputError(
        f"--id-column {asked} of {survey.plan.path} {flaw}",
        expected="one id per row, all different",
    )


def _name_at(plan: SlicePlan, column: str, row: int) -> str:
    """The name that a column has in a row of the whole table."""
    number = int(np.searchsorted([at.start for at in plan.slices], row, side="right")) - 1
    part = SliceReader(plan.shards, plan.slices, [column]).read(number)
    read, _ = scalar_columns(Columns(part))
    return read.names(column)[row - plan.slices[number].start].as_py()


def _order(survey: Survey) -> tuple[np.ndarray | Mapping[str, int] | None, str]:
    """The ranks of the usable rows, or of their texts; a sentence on the first odd text."""
    if survey.order:
        chunks = [chunk for column in survey.order for chunk in column.chunks]
        placed, _ = ranks(pa.chunked_array(chunks), range(sum(survey.kept)))
        return placed.astype(np.int32) if len(placed) < 2**31 else placed, ""
    texts = survey.order_texts
    name = survey.plan.order_column
    if not texts:
        return None, ""
    if len(texts) > MOST_NAMES:
        raise InputError(
            f"--order-column {name} of {survey.plan.path} has more than {MOST_NAMES:,} texts",
            expected=f"numbers or times, in a table of more than {MOST_WHOLE:,} rows",
            remedy="write the column as numbers or times",
        )
    places, odd = text_ranks([*texts], [*texts.values()])
    ranked = dict(zip(texts, places.tolist(), strict=True))
    return ranked, f"--order-column {name}: {odd}" if odd else ""


def _bookkeeping(
    survey: Survey, serving: Sequence[str | None], id_column: str | None
) -> tuple[str, ...]:
    plan = survey.plan
    own = {"id": id_column, "group": plan.group_column, "order": plan.order_column}
    used = [name for name, column in {**own, "path": plan.image_column}.items() if column == name]
    values = survey.table.scalars
    renamed = without_reserved(values, used)
    left = [name for name in values.column_names if name not in used]
    empty = [
        new for old, new in zip(left, renamed.column_names, strict=True) if old not in survey.valued
    ]
    return bookkeeping_of(renamed.schema, [*serving, *empty])


def _notes_on_names(survey: Survey, serving: Sequence[Any]) -> list[str]:
    """As `Columns.notes_on_names` of the whole table."""
    notes = [
        f"column {name!r} has text that is a name or a number, as {survey.name_like[name]!r}: "
        f"--target {name} uses the number, --split group:{name} the text"
        for name in survey.table.read.text
        if name in survey.lost and name in survey.name_like and name not in serving
    ]
    for name, counts in survey.cells.items():
        if (among := counts.among_numbers) is not None and name not in serving:
            place = in_words(survey.table, among.row)
            notes.append(f"column {name!r} is text: {among.sentence(place)}")
    return notes
