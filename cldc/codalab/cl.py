"""Change things on CodaLab: `cl` commands as typed methods; `rest` names the changes that are made otherwise.

Bundles and worksheets are given by uuid, since a name means the last bundle of that name on a worksheet. Values are joined
to their options with ``=``, so that `cl` can't mistake one for an option, and are never empty, which would open an editor.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from cldc.codalab.cl_session import ClSession
from cldc.codalab.failures import UploadFailed
from cldc.codalab.json_api import Dependency, check_uuid
from cldc.errors import CodaLabError, StorageError, UsageError
from cldc.identifiers import CODALAB_ARCHIVES, NAME, UUID
from cldc.progress import SILENT, Observer
from cldc.text import duration

_KEY = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.\-]*(/[A-Za-z0-9_.\-]+)*")
_TAG = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.\-]*")


class Cl(ClSession):
    """CodaLab's commands as one account; raises what `ClSession.command` raises, and UsageError for what CodaLab would garble."""

    def new_worksheet(self, name: str, title: str = "", tags: Iterable[str] = ()) -> str:
        """Create a public-read worksheet and return its uuid.

        Raises:
            AlreadyExists: Someone on this server has one of that name.
        """
        uuid = _uuid(self.command("new", _name(name)))
        self.edit_worksheet(uuid, title=title, tags=tags)
        return uuid

    def edit_worksheet(self, worksheet: str, *, title: str = "", tags: Iterable[str] = ()) -> None:
        """Set a worksheet's title and replace all its tags; empty values leave them as they are."""
        options = [f"--title={_ascii('title', title)}"] if title else []
        if options := [*options, *_tag_options(tags)]:
            self.command("wedit", check_uuid(worksheet), *options)

    def upload(
        self,
        worksheet: str,
        path: Path,
        *,
        name: str,
        description: str = "",
        observer: Observer = SILENT,
    ) -> str:
        """Upload a file, an archive or a folder as a bundle that is then ready, and return its uuid.

        Args:
            worksheet: Its uuid.
            path: An archive is unpacked on the server; a .zip keeps its top folder.
            name: The bundle's name.
            description: Set before the first byte is sent, so that a marker in it can be found after an interruption.
            observer: Told how many bytes are sent.

        Raises:
            UploadFailed: The server refused the contents of a bundle that it had `created`.
            Interrupted: It was interrupted; the bundle may be there, without its contents.
        """
        _check_source(path)
        options = self._options(worksheet, name, description)
        size = path.stat().st_size if path.is_file() else None
        observer.start(f"Uploading {name}", size, "bytes")
        # The path is absolute, so it begins with no dash.
        command = ("upload", str(path.resolve()), *options)
        sent, whole = 0, False

        def progress(done: int, total: int | None) -> None:
            nonlocal sent, whole
            sent, whole = done, done == total
            observer.advance(done, "unpacking" if whole else "")

        def waiting(silent_seconds: float, limit_seconds: float) -> None:
            what = "unpacking" if whole else "nothing sent"
            observer.advance(
                sent, f"{what} for {duration(silent_seconds)}, {duration(limit_seconds)} at most"
            )

        try:
            answer = self.command(*command, progress=progress, waiting=waiting)
        except CodaLabError as error:
            if not self.created:
                raise
            raise UploadFailed(error.message, action=error.action) from error
        return _uuid(answer)

    def add_bundle(self, worksheet: str, *bundles: str) -> None:
        """Add anyone's bundles at the end of a worksheet; doing it twice adds them twice."""
        self.command("add", "bundle", *map(check_uuid, bundles), f"--dest-worksheet={check_uuid(worksheet)}")

    def detach(self, worksheet: str, *bundles: str) -> None:
        """Unlink bundles from a worksheet without removing them."""
        self.command("detach", *map(check_uuid, bundles), f"--worksheet-spec={check_uuid(worksheet)}")

    def run(
        self,
        worksheet: str,
        command: str,
        dependencies: Iterable[Dependency],
        *,
        name: str,
        image: str | None = None,
        description: str = "",
    ) -> str:
        """Start a run bundle and return its uuid without waiting for it.

        The shell of the run's container executes the command; each dependency lies there at its key.
        """
        _ascii("command", command)
        if not command.strip() or command.startswith("-") or command.count("%") > 1:
            raise UsageError(
                f"CodaLab would misread the command {command!r}.",
                action="Start it with a word, and use at most one %: cl reads what is between two as a bundle.",
            )
        targets = [_target(dependency) for dependency in dependencies]
        options = self._options(worksheet, name, description)
        if image:
            options.append(f"--request-docker-image={_ascii('image', image)}")
        return _uuid(self.command("run", *options, *targets, command))

    def make(self, worksheet: str, parent: str, path: str, *, name: str, description: str = "") -> str:
        """Create a bundle from a file or folder of another and return its uuid without waiting for it.

        CodaLab reports success whatever happens: wait for the bundle and check it. The server waits for a parent that
        is still running.
        """
        target = _target(Dependency("", parent, path))
        return _uuid(self.command("make", *self._options(worksheet, name, description), target))

    def _options(self, worksheet: str, name: str, description: str) -> list[str]:
        if name.endswith(CODALAB_ARCHIVES):
            raise UsageError(
                f"CodaLab would cut the extension off the name {name!r}.", action="Leave the extension out."
            )
        options = [f"--worksheet-spec={check_uuid(worksheet)}", f"--name={_name(name)}"]
        if description:
            options.append(f"--description={_ascii('description', description)}")
        return options

    def describe(self, bundle: str, text: str) -> None:
        """Set a bundle's description; empty is allowed."""
        if text:
            self.command("edit", check_uuid(bundle), f"--description={_ascii('description', text)}")
        else:
            self.command("edit", check_uuid(bundle), "--field", "description", "")

    def set_tags(self, bundle: str, tags: Iterable[str]) -> None:
        """Replace all of a bundle's tags; see `Rest.clear_tags` to remove all of them."""
        options = _tag_options(tags)
        if not options:
            raise UsageError("cl can't remove all tags of a bundle.", action="Use Rest.clear_tags.")
        self.command("edit", check_uuid(bundle), *options)

    def remove(self, *bundles: str, force: bool = False) -> None:
        """Remove bundles for good; ``force`` also those that others depend on or that are on several worksheets."""
        if bundles:
            self.command("rm", *(["--force"] if force else []), *map(check_uuid, bundles))

    def remove_worksheet(self, worksheet: str, *, force: bool = False) -> None:
        """Remove a worksheet; ``force`` also one with items, whose bundles stay."""
        self.command("wrm", *(["--force"] if force else []), check_uuid(worksheet))

    def kill(self, *bundles: str) -> None:
        """Request that runs be killed, which takes the worker some seconds."""
        if bundles:
            self.command("kill", *map(check_uuid, bundles))


def _uuid(printed: str) -> str:
    last = printed.strip().splitlines()[-1] if printed.strip() else ""
    if not UUID.fullmatch(last):
        raise CodaLabError(
            f"CodaLab's client printed {last[:80]!r} instead of a uuid.",
            action="Check the worksheet in the browser before you try again.",
        )
    return last


def _ascii(what: str, text: str) -> str:
    if not text.isascii() or not text.replace("\n", "").isprintable():
        raise UsageError(
            f"The {what} {text!r} has characters that CodaLab would garble.",
            action="Use plain ASCII characters.",
        )
    return text


def _name(name: str) -> str:
    if not NAME.fullmatch(name):
        raise UsageError(
            f"CodaLab does not allow the name {name!r}.",
            action="Start it with a letter or underscore; use only letters, digits, underscores, periods and dashes.",
        )
    return name


def _tag_options(tags: Iterable[str]) -> list[str]:
    wanted = list(dict.fromkeys(tags))
    for tag in wanted:
        if not _TAG.fullmatch(tag):
            raise UsageError(
                f"CodaLab does not allow the tag {tag!r}.",
                action="Use letters, digits, underscores, periods and dashes.",
            )
    return ["--tags", *wanted] if wanted else []


def _target(dependency: Dependency) -> str:
    """Write a target as ``key:uuid/path``; an empty key keeps its colon, since the path may contain one."""
    key, path = dependency.key, dependency.parent_path.strip("/")
    if key and not _KEY.fullmatch(key):
        raise UsageError(
            f"{key!r} can't be the key of a dependency.", action="Use letters, digits, _ . - and /."
        )
    if "%" in path or ":" in path or "//" in path:
        raise UsageError(f"CodaLab would misread the path {path!r}.", action="Rename it without %, : and //.")
    return f"{key}:{check_uuid(dependency.parent)}" + (f"/{_ascii('path', path)}" if path else "")


def _check_source(path: Path) -> None:
    if not path.exists():
        raise StorageError(f"{path} does not exist.", action="Check the path of what to upload.")
    if path.name.endswith(CODALAB_ARCHIVES) != path.name.lower().endswith(CODALAB_ARCHIVES):
        raise UsageError(
            f"CodaLab would not unpack {path.name}: its extension is not in lower case.",
            action="Rename the file.",
        )
