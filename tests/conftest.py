"""Fixtures that every test may use."""

import tarfile
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """A folder beside the repository with a real recording and trained weights, if any."""
    if not SHARED.is_dir():
        pytest.skip("needs ../shared/data (a recording, trained weights), which is absent")
    return SHARED


@pytest.fixture(scope="session")
def trained_weights(shared_data: Path) -> Path:
    """Really trained InceptionV3 weights, `.weights.h5` without top."""
    return shared_data / "inception_v3_finetuned.weights.h5"


@pytest.fixture(scope="session")
def tub(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DonkeyCar tub v2 of 1,000 frames."""
    folder = tmp_path_factory.mktemp("tub")
    with tarfile.open(shared_data / "donkeycar_tub.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    return folder / "tub"
