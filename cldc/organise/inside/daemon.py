"""CodaLab's own scoring daemon, made to survive odd submissions and to say why it skips any.

Submissions are evaluated by CodaLab's code. This adds:

- The server returns a submission that was evaluated and then made private without its owner. The daemon's own handling of
  that case fails (it formats a missing field), after which no board is written any more. Such bundles are removed from what
  the daemon fetches; it then treats them as deleted.
- The daemon logs why it skips a tagged bundle, if at all. Here the reasons are kept, by uuid, in ``left_out``.
- The daemon's quota counts what was evaluated before a pass, so it evaluates everything that an account has tagged since.
  With ``strict_quota`` the quota also holds within a pass, the oldest submissions first.
"""
# mypy: disable-error-code="import-not-found,import-untyped,misc,no-any-return,attr-defined"

from __future__ import annotations

from typing import Any, Dict

Bundle = Dict[str, Any]
_READ = 1


def start(config: str, output: str, username: str, password: str) -> Any:
    """The daemon, signed in. It prompts for credentials, which this answers."""
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
        self._tagged: list[Bundle] = []
        self._fetch = self.client.fetch
        self.client.fetch = self._fetch_owned

    def _fetch_owned(self, kind: str, *arguments: Any, **more: Any) -> Any:
        """The client's `fetch`; if owners are requested, without bundles whose owner is hidden."""
        params = dict(more.get("params") or {})  # the client modifies its arguments
        answer = self._fetch(kind, *arguments, **more)
        if kind == "bundles" and isinstance(answer, list) and "owner" in params.get("include", ()):
            answer = [bundle for bundle in answer if _owner(bundle)]
            if "keywords" in params:
                self._tagged = answer
        return answer

    def tagged_uuids(self) -> list[str]:
        """Uuids of what the last pass found tagged."""
        return [bundle["id"] for bundle in self._tagged]

    def run_once(self) -> None:
        self.left_out = {}
        super().run_once()

    def _filter_submissions(self, latest: Any, evaluated: Any, total: Any, period: Any) -> Any:
        newest = {bundle["id"] for bundle in latest.values()}
        for bundle in self._tagged:
            if bundle["id"] not in newest and bundle["id"] not in evaluated:
                self._leave_out(bundle, "A newer submission took its place before it was evaluated.")
        before = dict(latest)
        kept = super()._filter_submissions(latest, evaluated, total, period)
        if self.strict_quota:
            kept = self._within_quota(kept, total, period)
        for key, bundle in before.items():
            if key not in kept and bundle["id"] not in evaluated:
                self._leave_out_for_quota(bundle, total[key.owner_id])
        return kept

    def _leave_out_for_quota(self, bundle: Bundle, used: int) -> None:
        """Record which quota is used up; ``used`` is the number of the account's evaluations in total."""
        config = self.config
        if used >= config["max_submissions_total"]:
            self._leave_out(
                bundle, f"All {config['max_submissions_total']} evaluations of the account are used."
            )
            return
        most, hours = config["max_submissions_per_period"], config["quota_period_seconds"] / 3600
        reason = f"The quota of {most} evaluations in {hours:g} hours is used; it is evaluated later."
        self._leave_out(bundle, reason, waiting=True)

    def _within_quota(self, latest: Any, total: Any, period: Any) -> Any:
        """The submissions of ``latest`` (by key) that are within both quotas, the oldest of each account first."""
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
                or "It was not made with the competition's own label book, or what it was made from is gone.",
            )
        return predicted

    def _unreadable(self, bundle: Bundle) -> str:
        """Which ancestor of the submission is private, as a sentence; empty if none is."""
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
                return f"What it was made from ({uuid}) can't be read: {error}"
            if parent.get("bundle_type") == "private" or parent.get("permission", _READ) < _READ:
                return f"What it was made from ({uuid}) is private."
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


def _owner(bundle: Bundle) -> bool:
    """Whether the server shows the owner."""
    try:
        return bool(bundle["owner"]["id"]) and bool(bundle["owner"]["user_name"])
    except (KeyError, TypeError):
        return False
