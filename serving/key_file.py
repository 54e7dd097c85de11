"""The file with the API keys: read strictly, replaced as a whole, followed while it is served."""

import fcntl
import os
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated

import structlog
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from serving.callers import Scope, Tier
from serving.keys import ApiKey

LOOK_EVERY_S = 1.0
LOCK_WITHIN_S = 10.0
LOCK_LOOK_S = 0.01
NAME = r"^[A-Za-z0-9 ._@-]{1,64}$"
HEAD = "# Written by `freshet key`; it holds digests, the keys themselves are nowhere.\n"
log = structlog.get_logger(__name__)


class KeyFileError(Exception):
    """The file can't be used; the message says where it is wrong."""


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=NAME)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    tier: Tier
    scopes: list[Scope] = Field(min_length=1)
    expires_at: AwareDatetime | None = None
    revoked_at: AwareDatetime | None = None


class _Content(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    keys: dict[Annotated[str, Field(pattern=r"^[0-9a-f]{8}$")], _Entry] = {}


def read_keys(file: Path) -> dict[str, ApiKey]:
    """The keys by id."""
    try:
        content = _Content.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
    except OSError as error:
        reason = error.strerror or str(error)
        raise KeyFileError(
            f"{file}: can't be read ({reason}); `freshet key create` makes it"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise KeyFileError(f"{file}: is not valid TOML: {error}") from error
    except ValidationError as error:
        raise KeyFileError(_explained(file, error)) from error
    return {key_id: _key(key_id, entry) for key_id, entry in content.keys.items()}


def _explained(file: Path, error: ValidationError) -> str:
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"{file}: {place}: {first['msg'][:1].lower()}{first['msg'][1:]}"


def _key(key_id: str, entry: _Entry) -> ApiKey:
    return ApiKey(
        key_id=key_id,
        name=entry.name,
        digest=entry.sha256,
        tier=entry.tier,
        scopes=frozenset(entry.scopes),
        expires_at=entry.expires_at,
        revoked_at=entry.revoked_at,
    )


@contextmanager
def only_writer(file: Path, *, within_s: float = LOCK_WITHIN_S) -> Iterator[None]:
    """Keep other writers out from the reading of the file to its writing, else one loses a key.

    The lock lies beside the file, since the file itself is replaced; it ends with its process.
    """
    lock = file.with_name(f".{file.name}.lock")
    with lock.open("w", encoding="utf-8") as held:
        _take(held, lock, until_s=time.monotonic() + within_s)
        yield


def _take(held: IO[str], lock: Path, *, until_s: float) -> None:
    while True:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() >= until_s:
                raise KeyFileError(
                    f"{lock}: another `freshet key` holds it; look what that one waits for"
                ) from error
            time.sleep(LOCK_LOOK_S)
        else:
            return


def write_keys(file: Path, keys: Iterable[ApiKey]) -> None:
    """Replace the file in one step; only its owner may read it."""
    text = HEAD + "".join(f"\n{line}" for key in keys for line in _lines(key)) + "\n"
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as written:
            written.write(text)
            written.flush()
            os.fsync(written.fileno())
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _lines(key: ApiKey) -> Iterator[str]:
    """Nothing here needs escaping: names and ids are of plain characters, the rest are choices."""
    yield f"[keys.{key.key_id}]"
    yield f'name = "{key.name}"'
    yield f'sha256 = "{key.digest}"'
    yield f'tier = "{key.tier}"'
    yield f"scopes = {sorted(key.scopes)}"
    if key.expires_at:
        yield f"expires_at = {key.expires_at.isoformat()}"
    if key.revoked_at:
        yield f"revoked_at = {key.revoked_at.isoformat()}"


class FollowedKeys:
    """The keys of a file, read again when it has changed, so that a revoked key ends by itself.

    While the file can't be read, the keys read before it stay.
    """

    def __init__(self, file: Path, *, clock_s: Callable[[], float]) -> None:
        self._file = file
        self._clock_s = clock_s
        self._looked_s = clock_s()
        self._stamp = self._look()
        self._keys = read_keys(file)

    def current(self) -> Mapping[str, ApiKey]:
        """The keys as of a second ago at most."""
        now_s = self._clock_s()
        if now_s - self._looked_s >= LOOK_EVERY_S:
            self._looked_s = now_s
            self._follow()
        return self._keys

    def _follow(self) -> None:
        stamp = self._look()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._keys = read_keys(self._file)
        except KeyFileError as error:
            log.warning("the keys can't be read again, and stay as they were", error=str(error))
        else:
            log.info("the keys were read again", keys=len(self._keys))

    def _look(self) -> tuple[int, int, int]:
        try:
            found = self._file.stat()
        except OSError:
            return 0, 0, 0
        return found.st_ino, found.st_mtime_ns, found.st_size
