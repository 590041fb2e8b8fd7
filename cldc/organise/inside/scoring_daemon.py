"""CodaLab's scoring daemon, changed to survive odd submissions and to say why it skips any.

Submissions are evaluated by CodaLab's code. This adds:

- If an account makes an evaluated submission private, the server returns it without its owner. The daemon then fails (it
  formats the missing field) and writes no more boards. This hides such bundles from the daemon, which treats them as deleted.
- The daemon does not always log why it skips a tagged bundle. This stores the reasons, by uuid, in ``left_out``.
- The daemon's quota ignores evaluations of the current pass, so it evaluates everything that an account has tagged since the
  last one. With ``strict_quota`` the quota also holds within a pass, the oldest submissions first.
- The daemon evaluates a submission once. ``repeat`` starts another evaluation, with a tag that nothing else searches for. The
  pass that finds its score replaces the old evaluation by it. Until then, and if it gets no score, the old one counts.
- The daemon reads every bundle several times in each pass, with several database queries each. Here a pass lists the uuids with
  one query. It reads the bundles that are new or not final, and two hundred others, as their owners may have edited them. It
  reads an evaluation's scores once. The next process takes over what was read.
- If a pass is killed between a submission's training and the publication of its evaluation, the daemon repeats both. Here the
  next pass uses the bundles that the killed one created.
"""
# mypy: disable-error-code="import-not-found,import-untyped,misc,no-any-return,attr-defined"

from __future__ import annotations

import contextlib
import json
import random
from typing import Any, Dict, Iterable

Bundle = Dict[str, Any]
_READ = 1
_SHOWN = {"include": ("owner", "group_permissions")}  # what the board shows of a submission besides itself
FAILED = ("failed", "killed")
FINAL = ("ready", *FAILED)
_TO_EVALUATION = 2  # generations from a run to its evaluation
_BATCH = 50  # bundles in one request, as CodaLab's daemon asks for them
_AGAIN = 200  # known bundles that a pass reads again, chosen at random if there are more


def start(config: str, output: str, username: str, password: str) -> Any:
    """Create the daemon and sign in; it prompts for credentials, and this answers."""
    from scripts import competitiond

    competitiond.input = lambda _prompt: username
    competitiond.getpass.getpass = lambda _prompt: password
    # Defined here, since CodaLab's class is imported here: importing it at the top would need CodaLab for every test.
    robust = type("RobustCompetition", (_Robust, competitiond.Competition), {})
    daemon = robust(config, output, False)
    daemon.ensure_log_worksheet_private()
    return daemon


class _Robust:
    """The additions above, as a mix-in before CodaLab's class."""

    strict_quota = False

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.left_out: dict[str, dict[str, Any]] = {}
        self.repeating: list[Bundle] = []
        self.not_repeated: list[dict[str, str]] = []
        self.tagged: list[Bundle] = []
        self._evaluated_tag = self.config["evaluate"]["tag"]
        self._again_tag = self._evaluated_tag + "-again"
        self.submissions: dict[str, Bundle] = {}
        self._fresh: set[str] = set()
        self._ended: dict[str, Bundle] = {}
        self._scores: dict[str, dict[str, Any]] = {}
        self._fetch, self._update = self.client.fetch, self.client.update
        self.client.fetch, self.client.update = self._fetch_bundles, self._update_bundles
        self._create, self.client.create = self.client.create, self._create_once

    def _fetch_bundles(self, kind: str, *arguments: Any, params: Any = None, **more: Any) -> Any:
        """Answer all of the daemon's reads of the server, in place of the client's `fetch`."""
        params = dict(params or {})  # the client modifies its arguments
        if kind == "bundles" and "owner" in params.get("include", ()):
            if "keywords" in params:
                return self._fetch_tagged(params["keywords"])
            if "specs" in params:
                return self._fetch_evaluated(params["specs"])
        if kind == "bundles" and ".mine" in params.get("keywords", ()):
            return self._fetch_evaluations(params["keywords"])
        return self._fetch(kind, *arguments, params=params, **more)

    def _fetch_tagged(self, keywords: list[str]) -> list[Bundle]:
        """Return the tagged submissions with what the board shows of them, without those whose owner is hidden."""
        found = self._search(keywords, self.submissions, **_SHOWN)
        self.submissions = {bundle["id"]: bundle for bundle in found}
        self.tagged = list(filter(_owner, found))
        return self.tagged

    def _fetch_evaluated(self, uuids: list[str]) -> list[Bundle]:
        """Return the submissions on the board; this pass has found those that still carry the tag."""
        known = [self.submissions[uuid] for uuid in uuids if uuid in self.submissions]
        others = [uuid for uuid in uuids if uuid not in self.submissions]
        return list(filter(_owner, [*known, *self.bundles(others, **_SHOWN)]))

    def _fetch_evaluations(self, keywords: list[str]) -> list[Bundle]:
        """Return the organiser's own bundles that a search finds."""
        found = self._search(keywords, self._ended)
        for bundle in found:
            # The quota counts an evaluation by its first creation, however often it was repeated.
            bundle["metadata"]["created"] = note(bundle).get("first", bundle["metadata"]["created"])
            if bundle["state"] in FINAL:
                self._ended[bundle["id"]] = bundle
        return found

    def _search(self, keywords: list[str], known: dict[str, Bundle], **more: Any) -> list[Bundle]:
        """Return the bundles that a search finds; read only some known ones again, and only once a pass."""
        if len(known) <= _AGAIN and not self._fresh & known.keys():
            found = list(self._fetch("bundles", params={"keywords": keywords, **more}))
            self._fresh.update(bundle["id"] for bundle in found)
            return found
        answer = self.client._make_request("POST", "/interpret/search", data={"keywords": keywords})
        uuids = answer["response"]["result"]
        old = [] if self._fresh & {*uuids} else [uuid for uuid in uuids if uuid in known]
        again = random.sample(old, min(len(old), _AGAIN))
        read = self.bundles([*again, *(uuid for uuid in uuids if uuid not in known)], **more)
        self._fresh.update(bundle["id"] for bundle in read)
        by_uuid = {**known, **{bundle["id"]: bundle for bundle in read}}
        return [by_uuid[uuid] for uuid in uuids]

    def bundles(self, uuids: Iterable[str], **more: Any) -> list[Bundle]:
        """Return the bundles with these uuids, in requests of fifty."""
        wanted = sorted(set(uuids))
        parts = [wanted[start : start + _BATCH] for start in range(0, len(wanted), _BATCH)]
        requests = [{"specs": part, **more} for part in parts]
        return [bundle for params in requests for bundle in self._fetch("bundles", params=params)]

    def _update_bundles(self, kind: str, data: Any, *arguments: Any, **more: Any) -> Any:
        """Update bundles as the client does, and forget the evaluations, so that they are read again."""
        for changed in data if isinstance(data, list) else [data]:
            self._ended.pop(changed["id"], None)
        return self._update(kind, data, *arguments, **more)

    def _fetch_scores(self, eval_bundles: dict[str, Bundle]) -> dict[str, dict[str, Any]]:
        """Return the scores of evaluations; read each only once, since it does not change."""
        new = {uuid: bundle for uuid, bundle in eval_bundles.items() if uuid not in self._scores}
        scores = super()._fetch_scores(new) if new else {}
        self._keep_scores(scores)
        return {uuid: scores.get(uuid) or self._scores[uuid] for uuid in eval_bundles}

    def _keep_scores(self, scores: dict[str, dict[str, Any]]) -> None:
        """Keep these scores for later passes; a missing one may still come."""
        self._scores.update((uuid, found) for uuid, found in scores.items() if None not in found.values())

    def remember(self, board: dict[str, Any]) -> None:
        """Take over the scores that an earlier process read; ``board`` is the file that it wrote."""
        rows = board.get("leaderboard", [])
        self._ended.update(
            (row["bundle"]["id"], row["bundle"]) for row in rows if row["bundle"]["state"] in FINAL
        )
        if rows and board["config"]["score_specs"] == self.config["score_specs"]:
            self._keep_scores({row["bundle"]["id"]: row["scores"] for row in rows})

    def _create_once(self, kind: str, data: Any, *arguments: Any, **more: Any) -> Any:
        """Create a bundle as the client does, or return the one that a killed pass created."""
        begun = self._begun(data) if kind == "bundles" else None
        return begun or self._create(kind, data, *arguments, **more)

    def _begun(self, wanted: Bundle) -> Bundle | None:
        """Find the bundle that a killed pass created for ``wanted``, unless a public evaluation depends on it.

        CodaLab's search finds no private bundles. So this checks the children of the parents that only this submission has: the
        contestant's dataset, then bundles that the daemon created.
        """
        predict = self.config["predict"]
        parents = self._fetch(
            "bundles",
            params={
                "specs": [each["parent_uuid"] for each in wanted["dependencies"]],
                "include": ["owner"],
            },
        )
        common = [_owner(each) for each in parents if each["id"] == predict["mimic"][0]["new"]]
        own = [e["id"] for e in parents if predict["tag"] in _tags(e) or (common and _owner(e) not in common)]
        for bundle in self._fetch("bundles", params={"specs": own, "depth": 1}) if own else ():
            if bundle.get("state") not in FAILED and _recipe(bundle) == _recipe(wanted):
                params = {"specs": [bundle["id"]], "depth": _TO_EVALUATION, "include": ["group_permissions"]}
                if not any(map(self._is_publicly_readable, self._fetch("bundles", params=params))):
                    return bundle
        return None

    def run_once(self) -> None:
        self.left_out, self._fresh = {}, set()
        self._exchange_repeated()
        super().run_once()

    def repeat(self, submissions: Iterable[str]) -> None:
        """Start another evaluation of each submission that has one; for the others, add the reason to ``not_repeated``."""
        under_way = {note(bundle).get("submit_id") for bundle in self._mine(self._again_tag)}
        evaluations = {note(bundle).get("submit_id"): bundle for bundle in self._mine(self._evaluated_tag)}
        for uuid in submissions:
            if uuid in under_way:  # by a command that was stopped
                continue
            old = evaluations.get(uuid)
            if old is None:
                self._not_repeated(uuid, uuid, "it has no evaluation yet")
            elif old["state"] not in FINAL:
                self._not_repeated(uuid, old["metadata"]["name"], "its evaluation is still under way")
            elif reason := self._evaluate_again(uuid, old):
                self._not_repeated(uuid, old["metadata"]["name"], reason)

    def _evaluate_again(self, uuid: str, old: Bundle) -> str:
        """Start another evaluation; return why that can't be done, or an empty text."""
        try:
            submission = self._fetch("bundles", uuid, params={"include": ["owner"]})
            if not _owner(submission):
                return "it is private now"
            predicted = self._usable_predictions(old) or self.run_prediction(submission)
            if predicted is not None:
                self.config["evaluate"]["tag"] = self._again_tag
                self.run_evaluation(submission, predicted)
                return ""
        except Exception as error:
            if uuid not in self.left_out:
                return f"it can't be read or evaluated: {error}"
        finally:
            self.config["evaluate"]["tag"] = self._evaluated_tag
        reason = str(self.left_out.pop(uuid)["reason"])
        return reason[0].lower() + reason[1:].rstrip(".")

    def _usable_predictions(self, old: Bundle) -> Bundle | None:
        """Return an evaluation's predictions if only the evaluation script has changed since; None otherwise."""
        parents = {dependency["parent_uuid"] for dependency in old["dependencies"]}
        wanted = {dependency["parent_uuid"] for dependency in self.config["evaluate"]["dependencies"]}
        changed = wanted - parents - {"{predict}"}
        if not changed or self.config["predict"]["mimic"][0]["new"] in changed:
            return None
        with contextlib.suppress(Exception):  # it may have been removed
            predicted = self._fetch("bundles", note(old)["predict_id"])
            return predicted if predicted["state"] == "ready" else None
        return None

    def _exchange_repeated(self) -> None:
        """Replace each evaluation by the repeated one, if that has a score.

        The new one joins the board before the old one leaves it, so that a crash in between loses no score.
        """
        self.repeating = []
        repeated = self._mine(self._again_tag)
        evaluations = self._mine(self._evaluated_tag) if repeated else []
        for new in repeated:
            noted, name = note(new), new["metadata"]["name"]
            old = [b for b in evaluations if note(b).get("submit_id") == noted.get("submit_id")]
            others = [bundle for bundle in old if bundle["id"] != new["id"]]
            if new["state"] not in FINAL:
                self.repeating.append(new)
                continue
            if not old:
                self._not_repeated(noted.get("submit_id", ""), name, "a newer submission has taken its place")
            elif None in self._fetch_scores({new["id"]: new})[new["id"]].values():
                self._not_repeated(
                    noted["submit_id"], name, f"the repeated evaluation left no score ({new['state']})"
                )
            else:
                first = min(bundle["metadata"]["created"] for bundle in old)
                text = json.dumps({**noted, "first": first})
                self._set(new, tags=[self._evaluated_tag, self._again_tag], description=text)
                self._untag(others, self._evaluated_tag)
                self._set(new, tags=[self._evaluated_tag])
                continue
            self._set(new, tags=[])

    def _mine(self, tag: str) -> list[Bundle]:
        """Return the organiser's own bundles with that tag."""
        limit = f".limit={self.config['max_leaderboard_size']}"
        return list(self.client.fetch("bundles", params={"keywords": [".mine", f"tags={tag}", limit]}))

    def _set(self, bundle: Bundle, **metadata: Any) -> None:
        self.client.update("bundles", {"id": bundle["id"], "metadata": metadata})

    def _not_repeated(self, submission: str, name: str, reason: str) -> None:
        self.not_repeated.append({"submission": submission, "name": name, "reason": reason})

    def _filter_submissions(self, latest: Any, evaluated: Any, total: Any, period: Any) -> Any:
        newest = {bundle["id"] for bundle in latest.values()}
        for bundle in self.tagged:
            if bundle["id"] not in newest and bundle["id"] not in evaluated:
                self._leave_out(bundle, "A newer submission took its place before it was evaluated.")
        before = dict(latest)
        kept = super()._filter_submissions(latest, evaluated, total, period)
        if self.strict_quota:
            kept = self._within_quota(kept, total, period)
        for key, bundle in before.items():
            if key in kept or bundle["id"] in evaluated:
                continue
            if total[key.owner_id] >= self.config["max_submissions_total"]:
                most = self.config["max_submissions_total"]
                self._leave_out(bundle, f"All {most} evaluations of the account are used.")
            else:
                most = self.config["max_submissions_per_period"]
                hours = self.config["quota_period_seconds"] / 3600
                reason = f"The quota of {most} evaluations in {hours:g} hours is used; it is evaluated later."
                self._leave_out(bundle, reason, waiting=True)
        return kept

    def _within_quota(self, latest: Any, total: Any, period: Any) -> Any:
        """Return the submissions of ``latest`` (by key) within both quotas, the oldest of each account first."""
        used: dict[str, int] = {}
        kept = {}
        for key, bundle in sorted(latest.items(), key=lambda item: item[1]["metadata"]["created"]):
            now, owner = used.get(key.owner_id, 0), key.owner_id
            if (
                total[owner] + now < self.config["max_submissions_total"]
                and period[owner] + now < self.config["max_submissions_per_period"]
            ):
                used[owner] = now + 1
                kept[key] = bundle
        return kept

    def run_prediction(self, submit_bundle: Bundle) -> Any:
        try:
            predicted = super().run_prediction(submit_bundle)
        except Exception as error:
            self._leave_out(submit_bundle, self._unreadable(submit_bundle) or f"It failed: {error}")
            raise
        if predicted is None:
            self._leave_out(
                submit_bundle,
                self._unreadable(submit_bundle)
                or "It was not made with the competition's own label book, or one of its dependencies was removed.",
            )
        return predicted

    def _unreadable(self, bundle: Bundle) -> str:
        """Name the private ancestor of the submission, in a sentence; empty if there is none."""
        queue = [dependency["parent_uuid"] for dependency in bundle["dependencies"]]
        seen = set()
        while queue:
            uuid = queue.pop()
            if uuid in seen:
                continue
            seen.add(uuid)
            try:
                parent = self._fetch("bundles", uuid)
            except Exception as error:
                return f"Its dependency {uuid} can't be read: {error}"
            if parent.get("bundle_type") == "private" or parent.get("permission", _READ) < _READ:
                return f"Its dependency {uuid} is private."
            queue += [dependency["parent_uuid"] for dependency in parent["dependencies"]]
        return ""

    def _leave_out(self, bundle: Bundle, reason: str, *, waiting: bool = False) -> None:
        self.left_out[bundle["id"]] = {
            "submission": bundle["id"],
            "name": bundle["metadata"]["name"],
            "account": bundle["owner"]["user_name"],
            "reason": reason,
            "waiting": waiting,
        }


def note(bundle: Bundle) -> dict[str, Any]:
    """Parse the daemon's note in an evaluation's description: ``submit_id``, ``submitter_id`` and ``predict_id``."""
    with contextlib.suppress(ValueError, KeyError, TypeError):
        found = json.loads(bundle["metadata"]["description"])
        return found if isinstance(found, dict) else {}
    return {}


def _recipe(bundle: Bundle) -> tuple[Any, ...]:
    """Return what identifies a bundle's content: type, command, tags, dependencies, and the submission in its note."""
    kind, command = bundle["bundle_type"], bundle.get("command") or ""
    parts = [
        (each["child_path"], each["parent_uuid"], each.get("parent_path") or "")
        for each in bundle.get("dependencies", ())
    ]
    return kind, command, sorted(_tags(bundle)), sorted(parts), note(bundle)


def _tags(bundle: Bundle) -> list[str]:
    return bundle.get("metadata", {}).get("tags") or []


def _owner(bundle: Bundle) -> str:
    """Return the owner's id; empty if the server hides it."""
    try:
        return (bundle["owner"]["user_name"] and bundle["owner"]["id"]) or ""
    except (KeyError, TypeError):
        return ""
