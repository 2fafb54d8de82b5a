"""SQL over the index of a release."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saltern.errors import UserError
from saltern.store.part import INDEX
from saltern.store.release import Release

if TYPE_CHECKING:
    import pandas as pd


def query(release: Release, sql: str) -> pd.DataFrame:
    """What a query finds. Its table `frames` is the index, one row a frame, read from Parquet as far as needed.

    Args:
        release: whose index is asked.
        sql: a SELECT, in DuckDB's dialect. It can read and write no other file.

    Raises:
        UserError: when the query is wrong or the index cannot be read.
    """
    import duckdb

    path = str((release.directory / INDEX).resolve()).replace("'", "''")
    with duckdb.connect() as connection:
        try:
            connection.execute(f"SET allowed_paths = ['{path}']")
            connection.execute("SET enable_external_access = false")
            connection.execute(f"CREATE VIEW frames AS SELECT * FROM read_parquet('{path}')")
            found: pd.DataFrame = connection.execute(sql).df()
        except duckdb.Error as error:
            raise UserError(f"query: {' '.join(str(error).split())}") from error
    return found
