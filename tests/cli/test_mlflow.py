"""What a user finds in the MLflow UI: an experiment per comparison, a parent per sweep, a readable child per run."""

from __future__ import annotations

import pytest


@pytest.fixture
def client(tmp_path):
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{tmp_path / 'outputs' / 'mlflow.db'}")


def test_a_sweep_is_a_parent_with_readable_children(selbench, settings, tmp_path, client):
    kept = [other for other in settings if other != "tracking=none"]
    ran = selbench("-m", *kept, "selector=random,longest", "budget=0.25", "comparison=mine")
    assert ran.status == 0, ran.err
    experiment = client.get_experiment_by_name("mine")
    runs = client.search_runs([experiment.experiment_id])
    (parent,) = [run for run in runs if "selbench.parent_of" in run.data.tags]
    children = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert {run.info.run_name for run in children} == {"random 25% toy s0", "longest 25% toy s0"}
    child = children[0]
    assert child.info.status == "FINISHED"
    assert child.data.params["budget"] == "0.25" and child.data.params["pool.name"]
    assert {"toy_suite/toy/accuracy", "toy_suite/mean", "cost/training/wall_s", "selection/examples"} <= set(
        child.data.metrics
    )
    assert {item.path for item in client.list_artifacts(child.info.run_id)} >= {
        "record.json",
        "selection.json",
        "items.parquet",
    }


def test_a_server_that_is_away_costs_a_warning_only(selbench, settings, tmp_path):
    kept = [other for other in settings if other != "tracking=none"]
    ran = selbench(*kept, "tracking.uri=http://127.0.0.1:9")
    assert ran.status == 0
    assert "The record is complete without it" in ran.err
