"""CodaLab's own scoring daemon, so that one odd submission does not stop it for everyone, and with its reasons kept.

What it does to a submission is CodaLab's code. Around it:

- A submission that was evaluated and then made private comes back from the server without an owner. The daemon's
  handling of that very case fails itself (it formats a field that is not there), and no board is written any more.
  Such bundles are taken out of what the daemon fetches; it then treats them as it treats deleted ones.
- Why it leaves a tagged bundle out it only logs, or not even that. Here it is kept, by uuid, in ``left_out``.
- Its quota counts what was evaluated before a pass: all that an account tagged since then is evaluated, however much
  it is. With ``strict_quota`` the quota holds within a pass, too, the oldest first.
"""
# mypy: disable-error-code="import-not-found,import-untyped,misc,no-any-return,attr-defined"

from __future__ import annotations

from typing import Any, Dict

Bundle = Dict[str, Any]
_READ = 1


def start(config: str, output: str, username: str, password: str) -> Any:
    """The daemon, signed in. It asks for what its configuration lacks; the answers are given here."""
    from scripts import competitiond

    competitiond.input = lambda _prompt: username
    competitiond.getpass.getpass = lambda _prompt: password
    # Made here, since CodaLab is imported only where it is needed.
    kept_going = type("KeptGoing", (_KeptGoing, competitiond.Competition), {})
    daemon = kept_going(config, output, False)
    daemon.ensure_log_worksheet_private()
    return daemon


class _KeptGoing:
    """The handling above, to stand before CodaLab's class of the daemon."""

    strict_quota = False

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.left_out: dict[str, dict[str, Any]] = {}
        self._tagged: list[Bundle] = []
        self._fetch = self.client.fetch
        self.client.fetch = self._fetch_owned

    def _fetch_owned(self, kind: str, *arguments: Any, **more: Any) -> Any:
        """As the client's; where owners are asked for, without bundles that nobody is told the owner of."""
        params = dict(more.get("params") or {})  # the client changes what it is given
        answer = self._fetch(kind, *arguments, **more)
        if kind == "bundles" and isinstance(answer, list) and "owner" in params.get("include", ()):
            answer = [bundle for bundle in answer if _owner(bundle)]
            if "keywords" in params:
                self._tagged = answer
        return answer

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
        """Say which quota it is; ``used`` is how many of the account's were evaluated in all."""
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
        """What of ``latest`` (by key) is within both quotas, the oldest of each account first."""
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
        """What of the submission's ancestors is private, as a sentence; empty if nothing is."""
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
    """Whether the server says whose it is."""
    try:
        return bool(bundle["owner"]["id"]) and bool(bundle["owner"]["user_name"])
    except (KeyError, TypeError):
        return False
