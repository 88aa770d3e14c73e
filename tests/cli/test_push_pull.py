"""`selbench store push|pull`: to a folder and to a local S3 service, interrupted, damaged, by two machines, misused."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest
from helpers.finished_work import contents, make_run, make_stage, make_sweep
from helpers.s3_server import SECRET, s3_in_place

from selbench.store.records import RECORD


@pytest.fixture
def s3(monkeypatch):
    with s3_in_place(monkeypatch) as files:
        yield files


@pytest.fixture(params=["file", "s3"])
def place(request, tmp_path):
    """A URL with nothing below it, and fsspec's file system for it."""
    if request.param == "file":
        return f"file://{tmp_path}/there", fsspec.filesystem("file")
    return "s3://bucket/some/folder", request.getfixturevalue("s3")


@pytest.fixture
def here(tmp_path) -> Path:
    """Two runs of a sweep, one on its own of another comparison, one that failed, and a stage that no run rests on."""
    outputs = tmp_path / "here"
    make_sweep(outputs, "20260101-1", [make_run(outputs, number, sweep="20260101-1") for number in range(2)])
    make_run(outputs, 2, comparison="other", size=3_000_000)
    make_run(outputs, 3, status="failed")
    make_stage(outputs, 99, 10)
    return outputs


def blobs(url: str, files) -> dict[str, str]:
    """SHA-256 -> path of every blob."""
    found = files.find(f"{url.removeprefix('file://')}/blobs")
    return {name: path for path in found if not (name := path.rpartition("/")[2]).startswith(".")}


def test_what_is_finished_goes_and_comes_back_as_it_was(selbench, here, place, tmp_path):
    url, files = place
    planned = selbench("store", "push", url, "--outputs", str(here), "--dry-run")
    assert planned.status == 0 and "would push 3 runs, 3 stages, 1 sweep" in planned.out
    assert "would push run random 50% toy s2" in planned.out and not blobs(url, files)
    sent = selbench("store", "push", url, "--outputs", str(here))
    assert sent.status == 0, sent.err
    assert "pushed 3 runs, 3 stages, 1 sweep, 3.0 MB" in sent.out and "1 failed run left here" in sent.err
    again = selbench("store", "push", url, "--outputs", str(here))
    assert "pushed nothing, 0 B" in again.out and "7 of 7 were there already" in again.out
    there = tmp_path / "elsewhere"
    planned = selbench("store", "pull", url, "--outputs", str(there), "--dry-run")
    assert "would pull 3 runs, 3 stages, 1 sweep" in planned.out and not there.exists()
    fetched = selbench("store", "pull", url, "--outputs", str(there))
    assert fetched.status == 0, fetched.err
    kept, came = contents(here), contents(there)
    failed = f"{3:020d}"
    assert came == {name: text for name, text in kept.items() if name in came}
    lacking = {name for name in kept if name not in came}
    assert {name.split("/")[1] for name in lacking if name.startswith("runs")} == {failed}
    assert len([name for name in lacking if name.startswith("store")]) == 4  # two stages that no finished run rests on
    assert selbench("store", "verify", "--outputs", str(there)).status == 0
    assert "7 of 7 were there already" in selbench("store", "pull", url, "--outputs", str(there)).out


def test_runs_and_stages_are_chosen(selbench, here, tmp_path):
    url = f"{tmp_path}/there"  # a path alone is a folder
    assert (
        "pushed 2 runs, 1 sweep"
        in selbench("store", "push", url, "--outputs", str(here), "--sweep", "latest", "--stages", "none").out
    )
    sent = selbench("store", "push", url, "--outputs", str(here), "--comparison", "other", "--stages", "all")
    assert "pushed 1 run, 5 stages" in sent.out
    for options, count in (
        (["--comparison", "other"], "1 run, 1 stage,"),
        (["--sweep", "20260101-1"], "2 runs, 2 stages, 1 sweep,"),
        (["--sweep", "latest", "--stages", "none"], "2 runs, 1 sweep,"),
        (["--stages", "all"], "3 runs, 5 stages, 1 sweep,"),
    ):
        planned = selbench("store", "pull", url, "--outputs", str(tmp_path / "new"), "--dry-run", *options)
        assert f"would pull {count}" in planned.out, options
    for verb in ("push", "pull"):
        for name in ("comparison", "sweep"):
            ran = selbench("store", verb, url, "--outputs", str(here), f"--{name}", "nope")
            assert ran.status == 2 and f"unknown {name} 'nope'" in ran.err


def test_a_sweep_that_goes_on_stays_and_its_finished_runs_go(selbench, tmp_path):
    outputs = tmp_path / "here"
    make_sweep(outputs, "s", [make_run(outputs, number) for number in range(2)], ended=1)
    sent = selbench("store", "push", str(tmp_path / "there"), "--outputs", str(outputs))
    assert "pushed 2 runs, 2 stages, " in sent.out and "sweep s has cells that have not ended" in sent.err


def test_a_damaged_remote_file_is_named_and_not_taken_and_can_be_replaced(selbench, here, place, tmp_path):
    url, files = place
    assert selbench("store", "push", url, "--outputs", str(here)).status == 0
    stages = sorted((here / "store" / "features").glob("*/manifest.json"))
    wanted = [json.loads(file.read_text()) for file in stages]
    used = [about for about in wanted if about["identity"]["number"] in (0, 1)]
    flipped, cut = (about["files"]["part/values.bin"]["sha256"] for about in used)
    paths = blobs(url, files)
    content = bytearray(files.cat_file(paths[flipped]))
    content[500] ^= 1
    files.pipe_file(paths[flipped], bytes(content))
    files.pipe_file(paths[cut], files.cat_file(paths[cut])[:-1])
    there = tmp_path / "elsewhere"
    for _ in range(2):
        ran = selbench("store", "pull", url, "--outputs", str(there))
        assert ran.status == 1
        assert "part/values.bin is not what was sent (its checksum differs)" in ran.err and flipped in ran.err
        assert "part/values.bin has 999 of 1000 bytes" in ran.err and cut in ran.err
        assert not [file for about in used for file in (there / "store" / "features" / about["key"]).rglob("*")]
    assert selbench("store", "verify", "--outputs", str(there)).status == 0
    assert len(list((there / "runs").glob(f"*/{RECORD}"))) == 3
    # What was cut off is sent by every push, a changed byte only when asked to.
    assert "pushed 1 stage, " in selbench("store", "push", url, "--outputs", str(here)).out
    assert selbench("store", "pull", url, "--outputs", str(there)).status == 1
    assert "pushed 3 runs, 3 stages, 1 sweep" in selbench("store", "push", url, "--outputs", str(here), "--again").out
    ran = selbench("store", "pull", url, "--outputs", str(there))
    assert ran.status == 0 and "pulled 1 stage, " in ran.out


def test_a_damaged_manifest_or_one_that_points_outside_is_not_taken(selbench, here, tmp_path):
    from selbench.store.parcels import Parcel

    assert selbench("store", "push", str(tmp_path / "there"), "--outputs", str(here)).status == 0
    first, second, _ = sorted((tmp_path / "there" / "manifests" / "runs").glob("*.json"))
    first.write_text(first.read_text()[:100])
    about = json.loads(second.read_text())
    outside = Parcel(f"runs/{second.stem}", {"../../escaped": about["files"][RECORD]})
    second.write_text(json.dumps(outside.plain()))
    ran = selbench("store", "pull", str(tmp_path / "there"), "--outputs", str(tmp_path / "new"))
    assert ran.status == 1 and ran.err.count("its manifest is not what was sent") == 2
    assert not list(tmp_path.rglob("escaped")) and len(list((tmp_path / "new" / "runs").glob("*"))) == 1


def test_a_damaged_stage_here_is_named_and_not_sent(selbench, here, tmp_path):
    (file,) = [file for file in here.rglob("values.bin") if file.stat().st_size == 3_000_000]
    content = bytearray(file.read_bytes())
    content[0] ^= 1
    file.write_bytes(content)
    ran = selbench("store", "push", str(tmp_path / "there"), "--outputs", str(here))
    assert ran.status == 1 and "values.bin is not what was written (its checksum differs). It was not pushed" in ran.err
    assert not (tmp_path / "there" / "manifests" / "store" / "features" / f"{file.parents[1].name}.json").exists()
    ran = selbench("store", "pull", str(tmp_path / "there"), "--outputs", str(tmp_path / "new"))
    assert ran.status == 0 and "1 stage of 1 run not there" in ran.err  # the record comes, and what is missing is said


def test_two_machines_exchange_what_each_has_done(selbench, place, tmp_path):
    url, _ = place
    one, two = tmp_path / "one", tmp_path / "two"
    for outputs, numbers in ((one, (0, 1)), (two, (1, 2))):
        for number in numbers:  # run 1 was carried out on both, and each has its own manifest of the stage
            make_run(outputs, number)
            time.sleep(0.002)
    command = "import sys; from selbench.cli.main import run; sys.exit(run(sys.argv[1:]))"
    senders = [
        subprocess.Popen([sys.executable, "-c", command, "store", "push", url, "--outputs", str(outputs)])
        for outputs in (one, two, one, two)
    ]
    assert [sender.wait(300) for sender in senders] == [0] * 4
    for outputs in (one, two, tmp_path / "three"):
        ran = selbench("store", "pull", url, "--outputs", str(outputs))
        assert ran.status == 0, ran.err
        assert len(list((outputs / "runs").glob(f"*/{RECORD}"))) == 3
        assert selbench("store", "verify", "--outputs", str(outputs)).status == 0


SLOW = """
import sys, time
from selbench.cli.main import run
from selbench.store.remote import Remote

# A slow line: so that the process is killed in the middle.
def slowed(method):
    def call(self, *arguments):
        time.sleep(0.05)
        return method(self, *arguments)
    return call

Remote.send_blob, Remote._append = slowed(Remote.send_blob), slowed(Remote._append)
sys.exit(run(sys.argv[1:]))
"""


def killed(arguments: list[str], begun: Callable[[], bool]) -> None:
    """Start the command line with a slow remote place, and kill it (-9) as soon as `begun` says so."""
    process = subprocess.Popen([sys.executable, "-c", SLOW, *arguments], stdout=subprocess.DEVNULL)
    until = time.monotonic() + 240
    while not begun():
        assert process.poll() is None and time.monotonic() < until, "it ended before it could be killed"
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait(60) == -signal.SIGKILL


def test_killed_in_the_middle_the_same_command_goes_on(selbench, place, tmp_path):
    url, files = place
    outputs, new = tmp_path / "here", tmp_path / "new"
    for number in range(20):
        make_run(outputs, number, size=200_000)
    push = ["store", "push", url, "--outputs", str(outputs)]
    pull = ["store", "pull", url, "--outputs", str(new)]
    killed(push, lambda: len(blobs(url, files)) >= 6)
    sent = len(blobs(url, files))
    partly = selbench("store", "pull", url, "--outputs", str(tmp_path / "early"))
    # No run may be seen before its stages are there, and the process was killed while it sent stages.
    assert "pulled nothing" in partly.out or "holds nothing that was pushed" in partly.err
    ran = selbench(*push)
    assert ran.status == 0 and 6 <= sent < 100 == len(blobs(url, files))
    killed(pull, lambda: len(list(new.glob("store/features/[!.]*"))) >= 4)
    whole = [folder for folder in new.glob("store/features/[!.]*")]
    assert 4 <= len(whole) < 20 and all((folder / "manifest.json").is_file() for folder in whole)
    assert selbench("store", "verify", "--outputs", str(new)).status == 0
    ran = selbench(*pull)
    assert ran.status == 0, ran.err
    assert contents(new) == contents(outputs)  # also: nothing half-written has stayed


def test_a_file_that_was_cut_off_goes_on_where_it_was(tmp_path, monkeypatch):
    from selbench.hashing import file_hash
    from selbench.store import remote as place

    monkeypatch.setattr(place, "PIECE", 1000)
    (tmp_path / "sent").write_bytes(os.urandom(4500))
    hash = file_hash(tmp_path / "sent")
    remote = place.Remote("memory://cut")
    remote.send_blob(tmp_path / "sent", hash, lambda bytes: None)
    for earlier, fetched in (
        (b"", [0, 1000, 1000, 1000, 1000, 500]),
        ((tmp_path / "sent").read_bytes()[:3000], [3000, 1000, 500]),
    ):
        counted: list[int] = []
        (tmp_path / "part").write_bytes(earlier)
        assert remote.fetch_blob(hash, 4500, tmp_path / "part", counted.append) is None
        assert counted == fetched and file_hash(tmp_path / "part") == hash
    (tmp_path / "part").write_bytes(b"another file's beginning")
    assert remote.fetch_blob(hash, 4500, tmp_path / "part", counted.append) is None
    assert file_hash(tmp_path / "part") == hash


def test_a_run_that_failed_here_is_replaced_and_one_that_finished_stays(selbench, here, tmp_path):
    other = tmp_path / "other"
    mended = make_run(other, 3)
    assert selbench("store", "push", str(tmp_path / "there"), "--outputs", str(other)).status == 0
    for number, status in ((3, "finished"), (2, "finished")):
        assert json.loads((here / "runs" / f"{number:020d}" / RECORD).read_text())["status"] in ("failed", status)
    assert "pulled 1 run, " in selbench("store", "pull", str(tmp_path / "there"), "--outputs", str(here)).out
    assert json.loads((here / "runs" / mended.key / RECORD).read_text())["status"] == "finished"


@pytest.mark.parametrize(
    "url, sentence",
    [
        ("ftp://host/x", "unknown scheme 'ftp'. Valid: file, gs, s3."),
        ("s3://", "s3:// lacks the name of a bucket"),
        ("s3://name:word@bucket/x", "credentials do not belong in the URL"),
        ("file://host/x", "names a host or a relative path"),
        ("gs://bucket/x", "pip install 'selbench[gcs]'"),
    ],
)
def test_urls_that_cannot_be_used(selbench, here, url, sentence):
    if url.startswith("gs") and importlib.util.find_spec("gcsfs"):
        pytest.skip("gcsfs is installed")
    ran = selbench("store", "push", url, "--outputs", str(here))
    assert ran.status == 2 and sentence in " ".join(ran.err.split()) and "word" not in ran.err


def test_what_a_service_refuses_is_said_in_a_sentence_without_secrets(selbench, here, s3, monkeypatch, tmp_path):
    def ran(verb: str, url: str) -> str:
        found = selbench("store", verb, url, "--outputs", str(here))
        assert found.status == 2 and SECRET not in found.err and "Traceback" not in found.err
        return " ".join(found.err.split())

    for verb in ("push", "pull"):
        assert "there is no bucket 'nope'" in ran(verb, "s3://nope/x")
    assert "s3://bucket/empty holds nothing that was pushed" in ran("pull", "s3://bucket/empty")
    with monkeypatch.context() as changed:
        changed.delenv("AWS_ACCESS_KEY_ID")
        changed.delenv("AWS_SECRET_ACCESS_KEY")
        changed.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
        changed.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
        assert "no credentials were found" in ran("push", "s3://bucket/x")
    with monkeypatch.context() as changed:
        changed.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        assert "the service does not answer" in ran("pull", "s3://bucket/x")
    with monkeypatch.context() as changed:
        changed.setitem(sys.modules, "s3fs", None)
        changed.delitem(
            sys.modules["fsspec.registry"]._registry, "s3"
        )  # as fsspec knows it before anybody has asked for it
        assert "pip install 'selbench[s3]'" in ran("push", "s3://bucket/x")


def test_a_full_disk_is_said_and_nothing_half_written_shows(selbench, here, tmp_path, monkeypatch):
    import errno

    from selbench.store import transfer
    from selbench.store.remote import Remote

    there, new = str(tmp_path / "there"), tmp_path / "new"

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as changed:
        changed.setattr(fsspec.get_filesystem_class("file"), "put_file", full)
        ran = selbench("store", "push", there, "--outputs", str(here))
        assert ran.status == 2 and "its disk is full" in ran.err and there in ran.err
    assert selbench("store", "push", there, "--outputs", str(here)).status == 0
    with monkeypatch.context() as changed:
        changed.setattr(Remote, "_append", full)
        ran = selbench("store", "pull", there, "--outputs", str(new))
        assert ran.status == 2 and "No space left on device" in ran.err and str(new) in ran.err
    with monkeypatch.context() as changed:
        changed.setattr(transfer.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 1000})())
        ran = selbench("store", "pull", there, "--outputs", str(new))
        assert ran.status == 2 and "has 1 kB free, and 3.0 MB are to be fetched" in ran.err
    assert not list(new.glob("runs/[!.]*")) and not list(new.glob("store/features/[!.]*"))


@pytest.mark.slow
def test_pulled_runs_are_on_the_leaderboard_and_the_same_command_uses_them(selbench, settings, tmp_path):
    grid = ["selector=random,longest", "seed=0,1"]
    assert selbench("-m", *settings, *grid).status == 0
    there, new = str(tmp_path / "there"), tmp_path / "new"
    assert selbench("store", "push", there, "--outputs", str(tmp_path / "outputs")).status == 0
    assert selbench("store", "pull", there, "--outputs", str(new)).status == 0
    for options in ([], ["--sweep", "latest"]):
        boards = [
            selbench("leaderboard", *options, "--outputs", str(outputs)).out for outputs in (tmp_path / "outputs", new)
        ]
        assert boards[0] == boards[1] and "longest" in boards[0]
    assert selbench("show", "latest/3", "--outputs", str(new)).status == 0
    elsewhere = [*settings[:-1], f"output_dir={new}"]
    ran = selbench("-m", *elsewhere, *grid, "reuse=verify")
    assert ran.status == 0 and "4 finished (of which 4 shared or already done)" in ran.err
    assert not (new / "store" / "executed.jsonl").exists()  # nothing was computed
    assert selbench("-m", *elsewhere, *grid, "comparison=another").status == 0
    computed = (new / "store" / "executed.jsonl").read_text() if (new / "store" / "executed.jsonl").exists() else ""
    assert "selection" not in computed and "evaluation" not in computed


def test_a_refusal_is_said_without_what_the_environment_holds_in_secret(selbench, here, tmp_path, monkeypatch):
    def denied(*arguments, **options):
        raise PermissionError("Access Denied for the token word-41-word at https://name:word@host/x")

    monkeypatch.setenv("MY_SECRET_WORD", "word-41-word")
    monkeypatch.setattr(fsspec.get_filesystem_class("file"), "find", denied)
    ran = selbench("store", "pull", str(tmp_path / "there"), "--outputs", str(here))
    text = " ".join(ran.err.split())
    assert ran.status == 2 and "does not allow this: Access Denied for the token *** at https://host/x" in text
