"""Zip files without compression: several files as one, with the same bytes each time."""

import io
import zipfile
from collections.abc import Mapping


def pack(files: Mapping[str, bytes]) -> bytes:
    """A zip of these files, by name."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)  # no date, so the bytes do not change
    return packed.getvalue()


def unpack(content: bytes) -> dict[str, bytes]:
    """The inverse of `pack`. Raises ValueError if it is damaged, or packed in another way."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            if any(m.compress_type != zipfile.ZIP_STORED or m.flag_bits & 1 for m in members):
                raise ValueError("its members are compressed or encrypted")
            if sum(member.file_size for member in members) > len(content):
                raise ValueError("its members are larger than the file")
            return {member.filename: archive.read(member) for member in members}
    except (zipfile.BadZipFile, KeyError, EOFError, OSError, NotImplementedError) as error:
        raise ValueError(str(error)) from error
