"""The steps of a submission, each safe to run again: it first looks for what an earlier try left on the server.

What is made is known by the submission's own worksheet, whose name holds the submission's id, and by its name and
type there. So a client that was killed after the server did its bidding finds that bundle and makes no second one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cldc import description as descriptions
from cldc import files
from cldc.codalab import Dependency, NotFinished, require_ready, wait_for
from cldc.errors import CodaLabError, RunFailed, SubmissionRefused
from cldc.ledger import Ledger, Record
from cldc.package import pack
from cldc.progress import SILENT, Observer
from cldc.submission.model import Plan, Submission
from cldc.submission.planning import TAG, organisers_uuid, standing

if TYPE_CHECKING:
    from cldc.codalab import Bundle, Cl, CodaLab, Rest, Worksheet
    from cldc.competition import Competition
    from cldc.validation import ValidationReport

Result = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Work:
    """What the steps work with.

    Attributes:
        plan: What is meant.
        report: The validated dataset.
        codalab: The server as the account: reads over REST, changes through `cl`.
        anonymous: Reads the server as everyone.
        home: The data folder.
        results: What the steps before gave, by step.
    """

    plan: Plan
    report: ValidationReport
    competition: Competition
    codalab: CodaLab
    anonymous: Rest
    ledger: Ledger
    home: Path
    observer: Observer = SILENT
    results: dict[str, Result] = field(default_factory=dict)

    @property
    def rest(self) -> Rest:
        """Reads the server as the account."""
        return self.codalab.rest

    @property
    def cl(self) -> Cl:
        """Changes things on the server."""
        return self.codalab.cl

    def uuid(self, step: str) -> str:
        """Uuid of what a step before made or found."""
        return self.results[step]["uuid"]


@dataclass(frozen=True, slots=True)
class Step:
    """A step: its name in the ledger, what it says while it runs, and what it does."""

    name: str
    says: str
    do: Callable[[Work], Result]


def carry_out(work: Work) -> Submission:
    """Do every step that the ledger does not know to be done, in order, and return the tagged submission.

    Raises:
        CldcError: What went wrong; what was done is kept, and the next call goes on from there.
    """
    plan = work.plan
    lock = work.home / "locks" / f"submission-{plan.id}.lock"
    with files.lock(lock, purpose=f"submitting {plan.name}", observer=work.observer, timeout_seconds=60):
        work.ledger.add(_record(plan))
        steps = work.ledger.steps(plan.id)
        again = TAG in steps and steps[TAG].finished is not None
        if not again:
            plan.require()
        for step in STEPS:
            known = steps.get(step.name)
            if known is not None and known.finished is not None:
                work.results[step.name] = known.result
                continue
            work.observer.start(step.says)
            work.ledger.begin(plan.id, step.name)
            work.results[step.name] = step.do(work)
            work.ledger.finish(plan.id, step.name, work.results[step.name])
        return _submission(work, again)


def _record(plan: Plan) -> Record:
    return Record(
        id=plan.id,
        competition=plan.competition,
        server=plan.server,
        account=plan.account,
        name=plan.name,
        institution=plan.institution,
        link=plan.link,
        dataset=plan.dataset,
        dataset_hash=plan.dataset_hash,
        preflight=plan.preflight,
        created=datetime.now(UTC),
    )


def _submission(work: Work, again: bool) -> Submission:
    plan = work.plan
    made = {step: work.uuid(step) for step in ("worksheet", "upload", "run", "predictions")}
    tagged = work.ledger.steps(plan.id)[TAG].finished
    assert tagged is not None  # noqa: S101 - the last step has just been finished
    links = {"worksheet": f"{plan.server}/worksheets/{made['worksheet']}"}
    links |= {step: f"{plan.server}/bundles/{made[step]}" for step in ("upload", "run", "predictions")}
    return Submission(
        id=plan.id,
        name=plan.name,
        description=plan.description or work.results["describe"]["description"],
        server=plan.server,
        account=plan.account,
        tagged=tagged,
        again=again,
        worksheet=made["worksheet"],
        dataset=made["upload"],
        run=made["run"],
        bundle=made["predictions"],
        links=links,
        quota=standing(work.competition, work.rest, work.ledger, plan.account),
        usual_wait=work.competition.submission.usual_wait,
        form=work.competition.form,
    )


# The guide's steps ------------------------------------------------------------------------------------------


def _worksheet(work: Work) -> Result:
    for sheet in work.rest.own_worksheets(work.plan.worksheet):
        return {"uuid": sheet.uuid}
    return {"uuid": work.cl.new_worksheet(work.plan.worksheet, title=f"Submission {work.plan.name}")}


def _upload(work: Work) -> Result:
    """The client makes the bundle before it sends the bytes, so what an interruption leaves is no dataset yet."""
    for bundle in _own(work, "dataset", work.plan.dataset):
        if bundle.state == "ready" and not bundle.failure:
            return {"uuid": bundle.uuid}
        work.cl.remove(bundle.uuid)
    folder = work.home / "packages" / work.plan.id
    package = pack(work.report, folder, work.observer)
    uuid = work.cl.upload(
        work.uuid("worksheet"),
        package.path,
        name=work.plan.dataset,
        description=f"cldc dataset {package.dataset_hash}",
        observer=work.observer,
    )
    require_ready(work.rest, wait_for(work.rest, uuid, observer=work.observer))
    files.remove_tree(folder)
    return {"uuid": uuid}


def _link(work: Work) -> Result:
    there = _sheet(work).bundle_uuids
    references = (work.competition.bundles.script, work.competition.bundles.label_book)
    uuids = [organisers_uuid(reference) for reference in references]
    for uuid in uuids:
        if uuid not in there:
            work.cl.add_bundle(work.uuid("worksheet"), uuid)
    return {"script": uuids[0], "label_book": uuids[1]}


def _run(work: Work) -> Result:
    form, bundles = work.competition.run, work.competition.bundles
    for bundle in _own(work, "run", form.name):
        if bundle.state not in ("failed", "killed"):
            return {"uuid": bundle.uuid}
    linked = work.results["link"]
    # The keys are set explicitly: on a worksheet the last bundle of a name wins, so names can't be trusted.
    dependencies = (
        Dependency(bundles.script.name, linked["script"], ""),
        Dependency(work.plan.dataset, work.uuid("upload"), ""),
        Dependency(bundles.label_book.name, linked["label_book"], ""),
    )
    command = form.command.format(dataset=work.plan.dataset, label_book=bundles.label_book.name)
    uuid = work.cl.run(
        work.uuid("worksheet"),
        command,
        dependencies,
        image=form.image,
        name=form.name,
        description=f"cldc submission {work.plan.id}",
    )
    return {"uuid": uuid}


def _train(work: Work) -> Result:
    """A failed run spends nothing: it is forgotten here, so that the next try makes a new one."""
    uuid = work.uuid("run")
    try:
        # `ready` with exit code 0 is no proof: the script ends so when it refuses a dataset for its size.
        run = wait_for(work.rest, uuid, observer=work.observer)
        require_ready(work.rest, run, (work.competition.run.predictions,))
    except NotFinished:
        raise
    except RunFailed:
        work.ledger.forget(work.plan.id, ("run", "train"))
        raise
    return {"uuid": uuid, "seconds": str(run.seconds)}


def _predictions(work: Work) -> Result:
    """`make` gives a uuid whatever happens, and its contents can be read before it is ready: wait, then look."""
    run, file = work.uuid("run"), work.competition.run.predictions
    for bundle in _own(work, "make", work.plan.name):
        made_from = {(d.parent, d.parent_path) for d in bundle.dependencies}
        if bundle.state not in ("failed", "killed") and made_from == {(run, file)}:
            uuid = bundle.uuid
            break
        work.cl.remove(bundle.uuid)
    else:
        uuid = work.cl.make(
            work.uuid("worksheet"),
            run,
            file,
            name=work.plan.name,
            description=f"cldc submission {work.plan.id}",
        )
    require_ready(work.rest, wait_for(work.rest, uuid, observer=work.observer))
    count = check_predictions(
        work.rest.file(uuid),
        expected=work.plan.predictions,
        classes=len(work.competition.dataset.classes),
        what=f"The predictions {uuid}",
    )
    return {"uuid": uuid, "count": str(count)}


def check_predictions(content: bytes, *, expected: int, classes: int, what: str) -> int:
    """How many predictions ``content`` holds: one class index for each of ``expected`` label-book images.

    Raises:
        RunFailed: It is no list of that length, or a value is no class index from 0 to ``classes`` - 1.
    """
    action = "Run `cldc preflight` with the same dataset to see what the training does; no quota was spent."
    try:
        values = json.loads(content)
    except ValueError as error:
        raise RunFailed(f"{what} are no JSON ({error}).", action=action) from error
    if not isinstance(values, list) or len(values) != expected:
        count = len(values) if isinstance(values, list) else "no list"
        raise RunFailed(
            f"{what} are {count}, not one for each of {expected} label-book images.", action=action
        )
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < classes:
            raise RunFailed(f"{what} hold {value!r}, which is no class index below {classes}.", action=action)
    return len(values)


def _publish(work: Work) -> Result:
    """The scoring daemon is another account: it sees only what everyone sees."""
    sheet = work.uuid("worksheet")
    own = [work.uuid(step) for step in ("upload", "run", "predictions")]
    work.codalab.publish(own, sheet)
    for uuid in (*own, work.results["link"]["script"], work.results["link"]["label_book"]):
        if not work.anonymous.bundle(uuid).readable:
            raise CodaLabError(
                f"The bundle {uuid} is not readable by everyone, so the scoring daemon could not read it.",
                action="Run the command again; if it stays so, ask the server's operators.",
            )
    work.anonymous.worksheet(sheet)
    return {"uuid": sheet}


def _describe(work: Work) -> Result:
    uuid, text = work.uuid("predictions"), work.plan.description
    work.cl.describe(uuid, text)
    stored = work.anonymous.bundle(uuid).description
    reading = descriptions.read(stored)
    if reading != descriptions.Reading(work.plan.name, work.plan.institution, work.plan.link):
        raise SubmissionRefused(
            f"The server keeps the description as {stored!r}, which the board would read as name {reading.name!r}.",
            action="Change name, institution or link; nothing was tagged.",
        )
    return {"uuid": uuid, "description": stored}


def _tag(work: Work) -> Result:
    """The commit point. One at a time on this machine, with the quota looked up right before."""
    uuid, tag = work.uuid("predictions"), work.competition.submission.tag
    key = files.hash_bytes(f"{work.plan.server}\n{work.plan.account}\n{tag}")[:16]
    with files.lock(work.home / "locks" / f"tag-{key}.lock", purpose="setting a tag", observer=work.observer):
        if tag in work.rest.bundle(uuid).tags:
            return {"uuid": uuid}
        standing(work.competition, work.rest, work.ledger, work.plan.account).require()
        work.codalab.tag(uuid, tag)
        if tag not in work.anonymous.bundle(uuid).tags:
            raise CodaLabError(
                f"The server took the tag {tag} for {uuid} but does not show it.",
                action="Run the command again.",
            )
    return {"uuid": uuid}


STEPS = (
    Step("worksheet", "Making a worksheet", _worksheet),
    Step("upload", "Preparing the upload", _upload),
    Step("link", "Adding the organisers' bundles", _link),
    Step("run", "Starting the run", _run),
    Step("train", "Waiting for the run", _train),
    Step("predictions", "Making the predictions bundle", _predictions),
    Step("publish", "Making everything readable by everyone", _publish),
    Step("describe", "Writing the description", _describe),
    Step(TAG, "Setting the tag", _tag),
)


def _sheet(work: Work) -> Worksheet:
    return work.rest.worksheet(work.uuid("worksheet"), bundles=True)


def _own(work: Work, kind: str, name: str) -> list[Bundle]:
    """Bundles of that type and name on the submission's own worksheet, the good ones first."""
    found = [
        bundle
        for bundle in _sheet(work).bundles
        if (bundle.type, bundle.name) == (kind, name) and bundle.owner in (None, work.plan.account)
    ]
    return sorted(found, key=lambda b: (b.state != "ready", b.failure is not None))
