"""What a manifest may name: a restore follows it, so nothing that leads elsewhere."""

from dataclasses import replace

import pytest

from gnomon_server.errors import GnomonError
from gnomon_server.store.backup.manifest import (
    Extent,
    Manifest,
    RowHash,
    StoredFile,
    StoredPart,
    StoredTable,
    decoded,
)

ID = "20261121T130651.940Z"
PACK = f"{ID}/000001.pack"
FILE = StoredFile("data.bin", 1, "0" * 64, (Extent(PACK, 0, 1),))
PART = StoredPart("all_1_1_0", "0", RowHash(1, 2, 3), (FILE,))
TABLE = StoredTable("gnomon", "logs", "CREATE TABLE gnomon.logs (`a` UInt8) ENGINE = MergeTree", holds_rows=True)
WHOLE = Manifest(
    ID, "", "", "full", "", 1, "", "", 0.0, (replace(TABLE, parts=(PART,)),),
    (replace(FILE, path="sources.json"),), {PACK: 1},
)  # fmt: skip


def with_file(file: StoredFile) -> Manifest:
    """The manifest with one part of that file."""
    return replace(WHOLE, tables=(replace(TABLE, parts=(replace(PART, files=(file,)),)),))


def defined(statement: str) -> Manifest:
    """The manifest with a table that this statement is to make."""
    return replace(WHOLE, tables=(replace(TABLE, definition=statement),))


def test_what_was_written_is_read() -> None:
    """Names of parts, files and packs as backups write them."""
    assert decoded(WHOLE.encoded(), "here") == WHOLE


@pytest.mark.parametrize(
    "hostile",
    [
        replace(WHOLE, files=(replace(FILE, path="../../.profile"),)),
        replace(WHOLE, files=(replace(FILE, path="/etc/cron.d/x"),)),
        replace(WHOLE, tables=(replace(TABLE, parts=(replace(PART, name=".."),)),)),
        with_file(replace(FILE, path="../x")),
        with_file(replace(FILE, extents=(Extent("../../etc/passwd", 0, 1),))),
        with_file(replace(FILE, extents=(Extent(f"{ID}/000002.pack", 0, 1),))),
        replace(WHOLE, packs={PACK: 1, "../1.pack": 1}),
        defined("INSERT INTO FUNCTION file('/tmp/x') SELECT 1"),
        defined("CREATE TABLE gnomon.spans (`a` UInt8) ENGINE = MergeTree"),
        defined("CREATE TABLE gnomon.logs; DROP TABLE gnomon.spans"),
    ],
    ids=range(10),
)  # fmt: skip
def test_names_that_lead_elsewhere_are_refused(hostile: Manifest) -> None:
    """Files outside the data directory, bytes outside the place, packs that are not counted, other statements."""
    with pytest.raises(GnomonError) as refused:
        decoded(hostile.encoded(), "here")
    assert refused.value.code == "backup_damaged"
