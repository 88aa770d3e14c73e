"""Refuses, before any work, tasks that need what is not there: Python modules, nltk resources, permission to run written code.

lm-eval is not imported. Data sets are no part of it: their commits are asked for where a run gets its key.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from selbench_plugins.suites._code_needs import absent_modules, needs_of_code
from selbench_plugins.suites._task_index import SOURCE, library_tasks, own_tasks

from selbench.data.hub import reachable, unreachable_text
from selbench.errors import NotAtHand, UserError

# Modules of our own extras (pyproject.toml), whose name is told before that of an extra of lm-eval.
EXTRAS = {"langdetect": "ifeval", "immutabledict": "ifeval", "nltk": "ifeval"}
FUNCTION = re.compile(r"^[^#\n]*!function[ \t]+[\"']?([\w.]+)\.\w+", re.MULTILINE)
INCLUDE = re.compile(r"^include:[ \t]*(.*(?:\n[ \t]*-[^\n]*)*)", re.MULTILINE)
# Where nltk keeps resources of each kind, for one that code names without its kind.
NLTK_KINDS = ("tokenizers", "corpora", "taggers", "chunkers", "stemmers", "models", "grammars", "sentiment", "misc")


def check_needs(names: Sequence[str], folder: str | None, unsafe_code: bool) -> None:
    """Raises UserError for a task that runs written code without permission, NotAtHand for one that lacks something.

    Args:
        names: the names of tasks, groups and tags; none for all tasks of the folder.
        folder: the folder of task files.
        unsafe_code: whether code that the model writes may be run.
    """
    problems: dict[str, str] = {}  # what is missing -> the first task that needs it
    for name, config in configs_of(names, folder):
        if config.get("unsafe_code", False) is not False and not unsafe_code:
            raise UserError(unsafe_text(name))
        for problem in _missing(config):
            problems.setdefault(problem, name)
    if problems:
        raise NotAtHand(_told(problems))


def _told(problems: Mapping[str, str]) -> str:
    """What is missing, for the first task that needs each."""
    sentences, before = [], ""
    for problem, name in problems.items():
        start = "It also" if name == before else f"{'Task' if before else 'task'} '{name}'"
        sentences.append(f"{start} needs {problem}")
        before = name
    return " ".join(sentences)


def _missing(config: Mapping[str, Any]) -> Iterator[str]:
    """What a task needs and is missing, each as the end of a sentence "... needs"."""
    files = []
    # The modules whose functions its file, and the files that this includes, name.
    for module, beside in _function_modules(Path(config[SOURCE])) if SOURCE in config else ():
        path = beside / f"{module.replace('.', '/')}.py"
        if path.is_file():
            files.append(path)
        elif absent_modules([module.split(".")[0]]):
            yield f"the Python module {module}, which is neither a file beside its task file ({path}) nor installed."
    needs = needs_of_code(files)
    if absent := absent_modules(needs.modules):
        yield modules_text(absent)
    if "nltk" not in absent:
        kinds = {
            resource.rpartition("/")[2]: resource for resource in sorted(needs.resources, key=lambda one: "/" in one)
        }
        yield from (resource_text(kinds[short]) for short in sorted(kinds) if not _has_resource(kinds[short]))
    yield from filter(None, map(_metric_problem, sorted(needs.metrics)))


def unsafe_text(name: str) -> str:
    """The message for a task that runs code which the model writes, where that is not allowed."""
    return (
        f"task '{name}' executes code that the model has written: on this machine, with your rights, outside any sandbox. "
        "Allow it with the suite's option unsafe_code=true, best in a container that holds nothing else."
    )


def configs_of(names: Sequence[str], folder: str | None) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Name and configuration of every task that is meant, the members of groups and tags among them."""
    own = own_tasks(folder)
    yield from ((name, own[name]) for name in names or sorted(own) if name in own)
    for config in library_tasks(tuple(name for name in names if name not in own)):
        yield str(config.get("task")), config


def _function_modules(path: Path, seen: tuple[Path, ...] = ()) -> Iterator[tuple[str, Path]]:
    """The modules whose functions a task file and its includes name, with the folder in which each is looked for."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return
    yield from dict.fromkeys((found, path.parent) for found in FUNCTION.findall(text))
    for line in INCLUDE.findall(text):
        for part in re.findall(r"[^\s,\[\]'\"]+", re.sub(r"\s#.*", "", line)):
            if (other := path.parent / part) not in (*seen, path):
                yield from _function_modules(other, (*seen, path))


# ------------------------------------------------------------------------------------------------- what to do about it


def modules_text(modules: Collection[str]) -> str:
    """What is missing, and the command that installs it, as the end of a sentence "... needs"."""
    named, one = " and ".join(sorted(modules)), len(modules) == 1
    return f"the Python module{'' if one else 's'} {named}, which {'is' if one else 'are'} not installed: {_install(modules)}."


def _install(modules: Collection[str]) -> str:
    extras = {EXTRAS.get(module, "") for module in modules}
    if len(extras) == 1 and "" not in extras:
        return f'pip install "selbench[{extras.pop()}]"'
    if extra := _extra_of_lm_eval(modules):
        return f'pip install "lm-eval[{extra}]"'
    return f"install the package that holds {'it' if len(modules) == 1 else 'them'}, as pip install {' '.join(sorted(modules))}"


def _extra_of_lm_eval(modules: Iterable[str]) -> str:
    """The smallest extra of lm-eval that brings all of these modules; empty if none does."""
    found: dict[str, set[str]] = {}
    for line in importlib.metadata.requires("lm-eval") or ():
        if extra := re.search(r"""extra == ["']([\w-]+)["']""", line):
            found.setdefault(extra[1], set()).add(re.split(r"[^\w-]", line)[0].replace("-", "_").lower())
    fitting = [(len(held), name) for name, held in found.items() if held >= {module.lower() for module in modules}]
    return min(fitting, default=(0, ""))[1]


def resource_text(resource: str) -> str:
    """What is missing, and how to get it, as the end of a sentence "... needs"."""
    import nltk

    short = resource.rpartition("/")[2]
    kind = resource.partition("/")[0] if "/" in resource else "tokenizers"
    return (
        f"the nltk resource '{short}', which is in none of nltk's folders ({', '.join(nltk.data.path[:3])}, ...): run "
        f"`python -m nltk.downloader {short}`, or set NLTK_DATA to a folder of yours that holds {kind}/{short}."
    )


def _has_resource(resource: str) -> bool:
    import nltk

    for name in [resource] if "/" in resource else [f"{kind}/{resource}" for kind in NLTK_KINDS]:
        try:
            nltk.data.find(name)
            return True
        except LookupError:
            continue
    return False


def _metric_problem(metric: str) -> str:
    """What is missing, as the end of a sentence "... needs"; empty for code that is cached, or can be downloaded."""
    from huggingface_hub import constants

    # As the evaluate library finds it, which takes seconds to import.
    cache = Path(os.getenv("HF_MODULES_CACHE") or Path(constants.HF_HOME) / "modules") / "evaluate_modules"
    name = metric.rpartition("/")[2]
    if Path(metric).exists() or any(cache.glob(f"*/*{name}/*/{name}.py")) or reachable():
        return ""
    return (
        f"the metric '{metric}' of the evaluate library, whose code is not in the local cache ({cache}), and "
        f"{unreachable_text()}: run `python -c \"import evaluate; evaluate.load('{metric}')\"` where it can be, and copy "
        "that folder."
    )


def missing_text(error: BaseException) -> str:
    """What was found missing while a task was built, as the end of a sentence "... needs"; empty for other errors."""
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or link.__context__
    for link in chain:
        if isinstance(link, ModuleNotFoundError) and link.name and absent_modules([link.name.split(".")[0]]):
            return modules_text([link.name.split(".")[0]])
        if isinstance(link, LookupError) and (found := re.search(r"nltk\.download\('([\w-]+)'\)", str(link))):
            return resource_text(found[1])
    return ""
