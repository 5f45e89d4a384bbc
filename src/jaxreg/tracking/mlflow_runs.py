"""Runs in MLflow: one of its runs for each, and one inside it for each trial of a sweep."""

import json
import os
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from jaxreg.common.steps import counted
from jaxreg.errors import InputError, JaxregError, UnavailableError
from jaxreg.tracking.flat_values import Plain
from jaxreg.tracking.logged_run import LoggedRun, Training, Trial, encodable
from jaxreg.tracking.tracker import Logged, require_extra

T = TypeVar("T")

DEFAULT_URI = "sqlite:///mlflow.db"
MOST_NAME, MOST_PARAMETER, MOST_TAG, MOST_EXPERIMENT = 250, 6000, 8000, 500
"""The characters that MLflow allows."""

_DIGEST = "jaxreg.summary_sha256"
_SERVERS = ("http", "https", "databricks")
_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
_METRICS, _OTHERS = 1000, 20  # in one request: MLflow takes so many metrics, and 1 MB in all
_RETRIES = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"


class MlflowRuns:
    """The runs of one tracking server or database."""

    def __init__(self, uri: str) -> None:
        """Connect.

        Args:
            uri: of a server (`http://…`) or a database (`sqlite:///mlflow.db`).

        Raises:
            InputError: MLflow is not installed; no such address, or a database that cannot be used.
            UnavailableError: the server does not answer.
        """
        scheme = re.match(r"([a-z0-9]+)(\+\w+)?:", uri)
        self._scheme = scheme.group(1) if scheme else uri
        self.shown = re.sub(r"(://[^:/@]*):[^@/]*@", r"\1:***@", uri)  # without a password
        self.is_database = self._scheme in _DATABASES
        require_extra("mlflow", "mlflow", *(("sqlalchemy", "alembic") * self.is_database))
        if self._scheme == "file" or (scheme is None and uri != "databricks"):
            raise InputError(
                f"--uri {uri}",
                expected="a server (http://…) or a database (sqlite:///…)",
                remedy=f"--uri {DEFAULT_URI}",
            )
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
        os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
        with self._talking():
            from mlflow import MlflowClient

            self._client: MlflowClient = MlflowClient(tracking_uri=uri)
            with _few_retries():
                self._client.search_experiments(max_results=1)

    def log(
        self, run: LoggedRun, *, experiment: str | None = None, overwrite: bool = False
    ) -> Logged:
        """Log a run; one that is there whole is left as it is.

        Args:
            run: what to log.
            experiment: its name in MLflow; None: that of the dataset.
            overwrite: replace what was logged of the run.

        Raises:
            InputError: the experiment was deleted, or cannot have this name; as `__init__`.
            UnavailableError: as `__init__`.
        """
        with self._talking():
            place = self._experiment(experiment or run.dataset)
            there = self._search(place, _DIGEST, run.digest)
            whole = [one for one in there if one.info.status == "FINISHED"]
            if whole and not overwrite:
                return Logged(str(run.path), whole[0].info.run_id, False, len(run.trials))
            for one in there:
                for trial in self._search(place, "mlflow.parentRunId", one.info.run_id):
                    self._client.delete_run(trial.info.run_id)
                self._client.delete_run(one.info.run_id)
            return Logged(str(run.path), self._log(run, place), True, len(run.trials))

    def _experiment(self, name: str) -> str:
        """The id of the experiment of this name, which is made if there is none."""
        if len(name) > MOST_EXPERIMENT:
            raise InputError(
                f"--experiment {name[:100]}…", expected=f"at most {MOST_EXPERIMENT} characters"
            )
        found = self._client.get_experiment_by_name(name)
        if found is None:
            try:
                return self._client.create_experiment(name)
            except Exception:
                found = self._client.get_experiment_by_name(name)
                if found is None:  # else another process has just made it
                    raise
        if found.lifecycle_stage != "active":
            raise InputError(
                f"the experiment {name} in {self.shown} was deleted",
                expected="an experiment that can be written",
                remedy="--experiment NAME",
            )
        return found.experiment_id

    def _search(self, experiment: str, tag: str, value: str) -> list[Any]:
        """The runs of an experiment with this tag."""
        found, token, words = [], None, f"tags.`{tag}` = '{value}'"
        while True:
            page = self._client.search_runs([experiment], words, page_token=token)
            found += page
            if not (token := page.token):
                return found

    def _log(self, run: LoggedRun, experiment: str) -> str:
        own = {f"jaxreg.{name}": text for name, text in run.tags.items()}
        tags = {**own, "mlflow.note.content": run.note, "mlflow.source.name": "jaxreg log"}
        if "git_commit" in run.tags:
            tags["mlflow.source.git.commit"] = run.tags["git_commit"]
        made = self._create(experiment, encodable(run.name), run.started, tags, run.digest)
        with self._ending(made, run.ended):
            self._send(made, metrics=_metrics(run), parameters=run.parameters)
            self._dataset(made, run)
            for path in run.files:
                inside = path.parent.relative_to(run.path).as_posix()
                self._client.log_artifact(made, str(path), None if inside == "." else inside)
            for trial in counted("logging trials", run.trials, "trials"):
                self._log_trial(run, trial, experiment, made)
        return made

    def _log_trial(self, run: LoggedRun, trial: Trial, experiment: str, parent: str) -> None:
        started = run.started + trial.number / 1000  # so that MLflow shows them in their order
        tags = {"jaxreg.status": trial.status, "mlflow.parentRunId": parent}
        made = self._create(experiment, f"{encodable(run.name)}-{trial.name}", started, tags)
        ended = started + trial.seconds
        with self._ending(made, ended, failed=trial.status == "failed"):
            metrics = [(name, value, _ms(ended), 0) for name, value in trial.scores.items()]
            self._send(made, metrics=metrics, parameters=trial.described)

    def _create(
        self, experiment: str, name: str, started: float, tags: Mapping[str, str], digest: str = ""
    ) -> str:
        """Make a run of MLflow; its id."""
        named = _renamed(tags)
        texts = {named[one]: cut(text, MOST_TAG) for one, text in tags.items()}
        texts |= {_DIGEST: digest} if digest else {}
        made = self._client.create_run(experiment, _ms(started), texts, name)
        return made.info.run_id

    @contextmanager
    def _ending(self, made: str, ended: float, *, failed: bool = False) -> Iterator[None]:
        """Inside, a run is filled. What is not filled whole never counts as finished."""
        try:
            yield
        except BaseException:
            with suppress(Exception):
                self._client.set_terminated(made, "KILLED")
            raise
        self._client.set_terminated(made, "FAILED" if failed else "FINISHED", _ms(ended))

    def _send(
        self,
        made: str,
        *,
        metrics: Sequence[tuple[str, float, int, int]],
        parameters: Mapping[str, Plain],
    ) -> None:
        from mlflow.entities import Metric, Param

        named = _renamed(parameters)
        said = [(named[n], cut(str(value), MOST_PARAMETER)) for n, value in parameters.items()]
        for part in _parts(said, _OTHERS):
            params = [Param(name, text) for name, text in part]
            self._client.log_batch(made, params=params)
        named = _renamed(name for name, *_ in metrics)
        for part in _parts(metrics, _METRICS):
            own = [Metric(named[name], value, time, step) for name, value, time, step in part]
            self._client.log_batch(made, metrics=own)

    def _dataset(self, made: str, run: LoggedRun) -> None:
        """What MLflow shows in its column Dataset."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        source = json.dumps({"jaxreg dataset": run.dataset, "sha256": run.dataset_sha256})
        dataset = Dataset(run.dataset[:500], run.dataset_sha256[:36], "code", source)
        tag = InputTag("mlflow.data.context", "training")
        self._client.log_inputs(made, [DatasetInput(dataset, [tag])])

    @contextmanager
    def _talking(self) -> Iterator[None]:
        """Turn what MLflow raises into one message; its warnings are for those who call it."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        except JaxregError:
            raise
        except Exception as error:  # of MLflow, SQLAlchemy, Alembic, requests, a database's driver
            found = f"MLflow at {self.shown}: {_reason(error)}"
            if self._scheme in _SERVERS:
                remedy = "start the server, or use another --uri"
                raise UnavailableError(found, remedy=remedy) from error
            raise InputError(found, remedy="use another --uri") from error


def _reason(error: BaseException) -> str:
    """Why MLflow did not do it; where the network was the cause, what the system says of that."""
    first, text = error, str(error)
    while (cause := first.__cause__ or first.__context__) is not None:
        first = cause
    if isinstance(first, OSError) and first.strerror:
        text = first.strerror
    return " ".join(text.split())[:300] or type(error).__name__


def _metrics(run: LoggedRun) -> list[tuple[str, float, int, int]]:
    """Name, value, milliseconds since 1970 and step of each number of a run."""
    found = [(name, value, _ms(run.ended), 0) for name, value in run.scores.items()]
    for number, training in enumerate(run.trainings):
        found += _training_metrics(training)
        for name, value in training.scores.items():
            found.append((f"member/{name}", value, _ms(run.ended), number))
    return found


def _training_metrics(training: Training) -> list[tuple[str, float, int, int]]:
    behind = f"/{training.name}" if training.name else ""
    return [
        (f"{name}{behind}", value, _ms(epoch.time), epoch.number)
        for epoch in training.epochs
        for name, value in epoch.values.items()
    ]


def _renamed(names: Iterable[str]) -> dict[str, str]:
    """The names that MLflow takes, by the names themselves.

    A character that is no letter, digit, underscore, dash, dot, space or slash becomes an
    underscore, and so does a part between slashes that is empty or has only dots. A name has at
    most MOST_NAME characters. If two names become the same, the later one gets a number.
    """
    found: dict[str, str] = {}
    taken: set[str] = set()
    for name in dict.fromkeys(names):
        parts = re.sub(r"[^\w. /-]", "_", encodable(name)).split("/")
        plain = "/".join("_" if not part.strip(".") else part for part in parts)[:MOST_NAME]
        plain, number = plain.rstrip("/") or "_", 1
        unique = plain
        while unique in taken:
            number += 1
            unique = f"{plain[: MOST_NAME - 8]}_{number}"
        taken.add(unique)
        found[name] = unique
    return found


def cut(text: str, most: int) -> str:
    """The start of a text that is too long, and a mark that there was more."""
    plain = encodable(text)
    return plain if len(plain) <= most else f"{plain[: most - 1]}…"


def _parts(values: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]


@contextmanager
def _few_retries() -> Iterator[None]:
    """Inside, a server that does not answer is asked twice, not for minutes."""
    if _RETRIES in os.environ:
        yield
        return
    os.environ[_RETRIES] = "1"
    try:
        yield
    finally:
        del os.environ[_RETRIES]


def _ms(seconds: float) -> int:
    return max(0, round(seconds * 1000))
