"""Runs a job of a GitHub workflow on this machine, step by step, as a runner would: for tests of the templates.

It knows what our workflows use: run steps in bash, their env, outputs and summary, `if` and `${{ }}` expressions,
the composite action from a checkout of its own, and of the other actions what a job sees of them.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from cldc import process
from tests.support.commands import ROOT

_COMPARISON = re.compile(r"(?P<left>[\w.-]+) (?P<how>==|!=) '(?P<right>[^']*)'")
_NAME = re.compile(r"[\w.-]+")
_SHIPPED = ("cldc", "templates", "pyproject.toml", "README.md", "LICENSE", ".github")


@dataclass
class Job:
    """How a job ended.

    Attributes:
        outcomes: What became of each step of the job: success, failure or skipped.
        outputs: Of each step of the job with an id.
        summary: The job's summary page, in Markdown.
        log: Everything the steps printed.
        artifacts: Folder with what was uploaded.
    """

    artifacts: Path
    outcomes: list[str] = field(default_factory=list)
    outputs: dict[str, dict[str, str]] = field(default_factory=dict)
    summary: str = ""
    log: str = ""

    @property
    def ok(self) -> bool:
        """Whether the job is green."""
        return "failure" not in self.outcomes


@dataclass
class Runner:
    """A fresh machine for one job.

    Attributes:
        folder: Empty; holds workspace, temporary files and artifacts.
        repository: The git repository that the job is of.
        event: ``github`` context: event_name, ref, ref_name, ref_type.
        secrets: By name.
        environments: The isolated environments, in place of a cache that was hit.
    """

    folder: Path
    repository: Path
    event: Mapping[str, str]
    secrets: Mapping[str, str]
    environments: Path

    def run(self, job: Mapping[str, Any]) -> Job:
        """Run a job's steps; one that fails skips all after it but those that say otherwise."""
        for name in ("work", "temp", "artifacts", "bin", "action", "user"):
            (self.folder / name).mkdir(parents=True)
        self._python()
        result = Job(self.folder / "artifacts")
        contexts = {
            "github": dict(self.event),
            "secrets": dict(self.secrets),
            "runner": {"os": "Linux", "arch": "X64", "temp": str(self.folder / "temp")},
            "env": {},
            "inputs": {},
        }
        result.outcomes, result.outputs = self._steps(job["steps"], contexts, result, self.folder / "work")
        return result

    def wanted(self, job: Mapping[str, Any]) -> bool:
        """Whether the job's own `if` holds for the event."""
        return bool(evaluate(job.get("if", "true"), {"github": dict(self.event)}, ok=True))

    def _python(self) -> None:
        """A `python` whose virtual environments see what the tests' own has, so that nothing is downloaded."""
        sites = "\\n".join(p for p in sys.path if p.endswith("site-packages"))
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        script = self.folder / "bin" / "python"
        script.write_text(
            f'#!/bin/bash\nset -e\n"{sys.executable}" "$@"\n'
            f'if [ "$1 $2" = "-m venv" ]; then cd "$3/lib/{version}/site-packages"; rm -rf setuptools*; '
            f'printf "{sites}\\n" >tests.pth; fi\n',
            encoding="utf-8",
        )
        script.chmod(0o755)

    def _steps(
        self, steps: list[dict[str, Any]], contexts: dict[str, Any], result: Job, action: Path
    ) -> tuple[list[str], dict[str, dict[str, str]]]:
        outcomes: list[str] = []
        outputs: dict[str, dict[str, str]] = {}
        for step in steps:
            ok = "failure" not in outcomes
            seen = {**contexts, "steps": {name: {"outputs": values} for name, values in outputs.items()}}
            condition = str(step.get("if", "success()"))
            wanted = evaluate(condition, seen, ok=ok)
            if not wanted or not (
                ok or condition.endswith("()")
            ):  # without a status function success is asked for
                outcomes.append("skipped")
                continue
            env = {**contexts["env"], **{k: fill(str(v), seen) for k, v in step.get("env", {}).items()}}
            given = {k: fill(_said(v), seen) for k, v in step.get("with", {}).items()}
            values, done = self._step(step, {**seen, "env": env}, given, result, action)
            outcomes.append("success" if done else "failure")
            if "id" in step:
                outputs[step["id"]] = values
        return outcomes, outputs

    def _step(
        self, step: dict[str, Any], contexts: dict[str, Any], given: dict[str, str], result: Job, action: Path
    ) -> tuple[dict[str, str], bool]:
        if "run" in step:
            return self._script(fill(step["run"], contexts), contexts["env"], result, action)
        uses = step["uses"].partition("@")[0]
        if uses.endswith("/.github/actions/submit"):
            return self._composite(given, contexts, result)
        if uses == "actions/checkout":
            assert given["persist-credentials"] == "false"
            process.run(["git", "clone", "-q", self.repository, self.folder / "work"], timeout_seconds=60)
            process.run(
                ["git", "-C", self.folder / "work", "checkout", "-q", self.event["ref_name"]],
                timeout_seconds=60,
            )
        elif uses == "actions/cache":
            path = Path(given["path"])
            path.rmdir()
            path.symlink_to(self.environments, target_is_directory=True)
        elif uses == "actions/upload-artifact":
            if Path(given["path"]).is_dir():
                shutil.copytree(given["path"], result.artifacts / given["name"])
        else:
            assert uses == "actions/setup-python", uses
        return {}, True

    def _composite(
        self, given: dict[str, str], contexts: dict[str, Any], result: Job
    ) -> tuple[dict[str, str], bool]:
        """The action as a checkout of the whole repository at its commit, its inputs with their defaults."""
        place = self.folder / "action" / "cldc"
        for name in _SHIPPED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, place / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, place)
        action = place / ".github" / "actions" / "submit"
        data = yaml.safe_load((action / "action.yml").read_text(encoding="utf-8"))
        assert not given.keys() - data["inputs"].keys()
        inputs = {name: given.get(name, spec["default"]) for name, spec in data["inputs"].items()}
        inner = {**contexts, "inputs": inputs, "secrets": {}}
        outcomes, outputs = self._steps(data["runs"]["steps"], inner, result, action)
        seen = {**inner, "steps": {name: {"outputs": values} for name, values in outputs.items()}}
        values = {name: fill(spec["value"], seen) for name, spec in data["outputs"].items()}
        return values, "failure" not in outcomes

    def _script(
        self, text: str, env: Mapping[str, str], result: Job, action: Path
    ) -> tuple[dict[str, str], bool]:
        temp = self.folder / "temp"
        files = {name: temp / f"_{name}" for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY", "script.sh")}
        for path in files.values():
            path.write_text("", encoding="utf-8")
        files["script.sh"].write_text(text, encoding="utf-8")
        known = {name: os.environ[name] for name in ("LANG", "TMPDIR", "NO_COLOR") if name in os.environ}
        done = process.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", files["script.sh"]],
            env={
                **known,
                "CI": "true",
                "HOME": str(self.folder / "user"),
                "PATH": f"{self.folder / 'bin'}:/usr/local/bin:/usr/bin:/bin",
                "PIP_NO_INDEX": "1",
                "PIP_NO_BUILD_ISOLATION": "0",
                "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
                "RUNNER_TEMP": str(temp),
                "GITHUB_ACTION_PATH": str(action),
                "GITHUB_WORKSPACE": str(self.folder / "work"),
                **{f"GITHUB_{name.upper()}": value for name, value in self.event.items()},
                **{name: str(path) for name, path in files.items() if name != "script.sh"},
                **env,
            },
            cwd=self.folder / "work",
            timeout_seconds=900,
            check=False,
        )
        result.log += done.stdout + done.stderr
        result.summary += files["GITHUB_STEP_SUMMARY"].read_text(encoding="utf-8")
        lines = files["GITHUB_OUTPUT"].read_text(encoding="utf-8").splitlines()
        return dict(line.split("=", 1) for line in lines), done.returncode == 0


def _said(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def fill(text: str, contexts: Mapping[str, Any]) -> str:
    """A text with its ``${{ }}`` filled in."""

    def value(found: re.Match[str]) -> str:
        return _said(evaluate(found[1], contexts, ok=True))

    return re.sub(r"\$\{\{(.*?)\}\}", value, text)


def evaluate(expression: str, contexts: Mapping[str, Any], *, ok: bool) -> Any:
    """The value of a name, of ``name == 'text'``, ``name != 'text'`` or of a status function: all that our workflows use.

    What a context does not have is the empty string, as on GitHub.

    Args:
        expression: With or without ``${{ }}``.
        contexts: By name.
        ok: Whether every step before succeeded.

    Raises:
        ValueError: It is another kind of expression.
    """
    expression = expression.strip().removeprefix("${{").removesuffix("}}").strip()
    statuses = {"always()": True, "success()": ok, "failure()": not ok}
    if expression in statuses:
        return statuses[expression]
    if found := _COMPARISON.fullmatch(expression):
        equal = _looked_up(found["left"], contexts) == found["right"]
        return equal if found["how"] == "==" else not equal
    if _NAME.fullmatch(expression):
        return _looked_up(expression, contexts)
    raise ValueError(f"this runner does not know the expression {expression!r}")


def _looked_up(name: str, contexts: Mapping[str, Any]) -> Any:
    if name in ("true", "false"):
        return name == "true"
    value: Any = contexts
    for part in name.split("."):
        value = value.get(part, "") if isinstance(value, Mapping) else ""
    return value
