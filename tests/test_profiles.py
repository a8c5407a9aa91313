"""Profiles for clusters, on a machine that has none."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from optlab.errors import UserError
from optlab.machine import cluster

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def plain(tmp_path):
    """Snakemake where neither a SLURM nor a variable of one is to be found."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("bash", "sh", "git", "which"):
        if found := shutil.which(name):
            (programs / name).symlink_to(found)
    slurm = [name for name in os.environ if name.startswith(("SLURM", "SNAKEMAKE"))]
    env = {name: value for name, value in os.environ.items() if name not in slurm}

    def call(*words, **more):
        return subprocess.run(
            [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", *words],
            cwd=tmp_path, env={**env, "PATH": str(programs), **more}, timeout=120,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip

    return call


@pytest.mark.parametrize("name", ["slurm", "slurm-plain", "sge"])
def test_a_dry_run_for_a_cluster_needs_no_cluster(plain, name):
    done = plain("-np", "--profile", ROOT / "profiles" / name)
    assert done.returncode == 0, done.stdout
    assert "This was a dry-run" in done.stdout
    jobs = done.stdout.split("\n\n")
    trained = [text for text in jobs if "\nrule train:" in text]
    assert trained and all("predicted_seconds=" in text for text in trained)


def test_what_a_profile_says_of_the_site_is_checked(plain):
    words = ("-n", "--default-resources", "gpus_per_node=-1")
    done = plain(*words)
    assert done.returncode == 1
    done = plain("-n", "--default-resources", "prepare_on=moon")
    assert done.returncode == 1
    assert "error: default-resources: prepare_on=moon; allowed: login, compute" in done.stdout


def test_an_allocation_gives_its_processors(plain):
    words = ("-n", "--profile", ROOT / "profiles/allocation")
    assert plain(*words, SLURM_CPUS_ON_NODE="3").returncode == 0


@pytest.mark.parametrize("name", ["slurm", "slurm-plain", "sge", "allocation"])
def test_the_default_profile_overrides_no_key_of_another(name):
    keys = [set(yaml.safe_load((ROOT / f"profiles/{n}/config.yaml").read_text()))
            for n in ("default", name)]  # fmt: skip
    assert not keys[0] & keys[1]


def test_nothing_of_a_site_is_in_a_rule():
    for file in (ROOT / "workflow/rules").glob("*.smk"):
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"\b(slurm_account|slurm_partition|qos|constraint)\b", text)


@pytest.mark.parametrize(("name", "command"), [("slurm", "sbatch"), ("sge", "qdel")])
def test_a_machine_without_a_cluster_says_so_once(plain, name, command, tmp_path):
    (tmp_path / "profiles").symlink_to(ROOT / "profiles")  # that of Grid Engine names a file there
    done = plain("--profile", ROOT / "profiles" / name)
    assert done.returncode == 1
    told = [line for line in done.stdout.splitlines() if command in line]
    line = f"error: there is no {command} on this machine; call this on a login node of the cluster"
    assert told == [f"{line}, or use snakemake --cores all"] and "Traceback" not in done.stdout
    assert not [*tmp_path.glob(".snakemake/locks/*")]


@pytest.mark.parametrize("executor", ["slurm", "optlab-slurm"])
def test_a_cluster_that_does_not_answer_is_told_in_a_line(executor, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    for name, text in {
        "sbatch": "exit 0",
        "sinfo": "echo a >&2; echo no controller >&2; exit 1",
    }.items():
        with pytest.raises(UserError, match=f"there is no {name}"):
            cluster.check(executor, None)
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    with pytest.raises(UserError, match="does not answer: no controller; call this"):
        cluster.check(executor, None)
    (tmp_path / "sinfo").write_text("#!/bin/sh\nexit 0\n")
    cluster.check(executor, None)
